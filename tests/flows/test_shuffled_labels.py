"""A scan whose labels say nothing claims nothing, from the command to the report; with labels that do, it finds one."""

import html
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow

pytestmark = pytest.mark.timeout(600)
SETTINGS = {
    "ranking": {"top": 40, "permutations": 200, "resamples": 50, "bootstrap": 200},
    "output": {"features": 0},
    "layers": [0, 9],
}
CHANGES = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
LAST = ("kitchen", "street", "office", "park")
"""What a sentence ends with, by its label: a feature that reads the last token tells them apart."""
OTHER = [
    "man",
    "woman",
    "boy",
    "girl",
    "red",
    "blue",
    "green",
    "small",
    "tall",
    "old",
    "young",
    "holds",
    "reads",
    "sings",
    "cooks",
    "book",
    "ball",
    "cup",
    "hat",
    "near",
]
CLAIMS = ("Found", "Weak")


def write_concept(folder: Path, name: str, shuffled: bool) -> Path:
    """Sentences of words in any order, labelled by the last of them; or with those labels exchanged."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 4
    words = [" ".join([*rng.choice(OTHER, 7, replace=False), LAST[label]]) for label in labels]
    given = rng.permutation(labels) if shuffled else labels
    pl.DataFrame({"sentence": words, "concept_strength_label": given}).write_csv(folder / f"{name}.csv")
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ndescription: Ends in a park.\nsentences: {name}.csv\n", encoding="utf-8")
    return path


def findings(workspace: Path, name: str) -> tuple[list[str], list[str], pl.DataFrame]:
    """The sentences of the page and of the Markdown, and the ranking."""
    (report,) = (workspace / "reports").glob(f"concept-{name}*")
    items = re.findall(r"<li>(.*?)</li>", (report / "report.html").read_text("utf-8"), re.DOTALL)
    page = [html.unescape(re.sub(r"<[^>]+>", "", item)) for item in items]
    markdown = (report / "report.md").read_text("utf-8").partition("## What was found")[2].partition("![")[0]
    record = json.loads(next((workspace / "scans").glob(f"concept-{name}*.json")).read_text("utf-8"))
    ranking = workspace / "artifacts" / record["ranking"] / "ranking.parquet"
    told = [line.removeprefix("- ") for line in markdown.splitlines() if line.startswith("- ")]
    return [line for line in page if "AUROC" in line or "Spearman" in line], told, pl.read_parquet(ranking, glob=False)


def scan(mini_workspace: Path, copy_databases: CopyDatabases, api: str, folder: Path, shuffled: bool) -> Path:
    workspace = folder / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    path = write_concept(folder, "park", shuffled)
    ended = saeflow(workspace, "concept", "scan", str(path), "--study", "mini", *CHANGES, api=api)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


@pytest.mark.parametrize("shuffled", [False, True])
def test_labels_that_say_nothing_make_no_claim_and_labels_that_do_make_one(
    mini_workspace: Path, copy_databases: CopyDatabases, prefect_server: str, tmp_path: Path, shuffled: bool
) -> None:
    page, told, ranking = findings(scan(mini_workspace, copy_databases, prefect_server, tmp_path, shuffled), "park")
    smallest = ranking.select(pl.min_horizontal(pl.col("^q_.*$").min())).item()
    assert len(page) == len(told) >= 10 and ranking.height >= 10
    for lines in (page, told):
        assert any(line.startswith(CLAIMS) for line in lines) != shuffled
    assert (smallest > 0.05) == shuffled
