"""A concept that sentences end with, through the commands: found, not found with its labels shuffled, and carried over
from the layout of older scripts."""

import html
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.store.artifacts import ArtifactStore
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow_here

pytestmark = pytest.mark.timeout(600)
SETTINGS = {
    "ranking": {"top": 40, "permutations": 200, "resamples": 50, "bootstrap": 200},
    "output": {"features": 0},
    "layers": [0, 9],
}
CHANGES = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
LAST = ("kitchen", "street", "office", "park")
"""What a sentence ends with, by its label: a feature that reads the last token tells them apart."""
OTHER = ("man", "woman", "boy", "girl", "red", "blue", "green", "small", "tall", "old", "young", "holds", "reads")
CLAIMS = ("Found", "Weak")


def write_concept(folder: Path, name: str, shuffled: bool) -> Path:
    """Sentences of words in any order, labelled by the last of them; or with those labels exchanged."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 4
    words = [" ".join([*rng.choice(OTHER, 7), LAST[label]]) for label in labels]
    given = rng.permutation(labels) if shuffled else labels
    pl.DataFrame({"sentence": words, "concept_strength_label": given}).write_csv(folder / f"{name}.csv")
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ndescription: Ends in a park.\nsentences: {name}.csv\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def workspace(
    mini_workspace: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases
) -> Path:
    """A workspace in which the concept was scanned for as it is."""
    folder = tmp_path_factory.mktemp("made-up")
    linked_copy(mini_workspace, folder / "workspace", copy_databases)
    scan(folder / "workspace", write_concept(folder, "park", shuffled=False), prefect_server)
    return folder / "workspace"


def scan(workspace: Path, concept: Path, api: str, *more: str) -> None:
    ended = saeflow_here(workspace, "concept", "scan", str(concept), "--study", "mini", *CHANGES, *more, api=api)
    assert ended.returncode == 0, ended.stdout + ended.stderr


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


@pytest.mark.parametrize("name", ["park", "noise"])
def test_labels_that_say_nothing_make_no_claim_and_labels_that_do_make_one(
    workspace: Path, prefect_server: str, name: str
) -> None:
    if name == "noise":
        scan(workspace, write_concept(workspace.parent, name, shuffled=True), prefect_server)
    page, told, ranking = findings(workspace, name)
    smallest = ranking.select(pl.min_horizontal(pl.col("^q_.*$").min())).item()
    assert len(page) == len(told) >= 10 and ranking.height >= 10
    for lines in (page, told):
        assert any(line.startswith(CLAIMS) for line in lines) == (name == "park")
    assert (smallest <= 0.05) == (name == "park")


def encoded(workspace: Path) -> set[str]:
    return {artifact.ref for artifact in ArtifactStore(workspace / "artifacts") if artifact.step == "encode_sae"}


def test_an_older_run_that_is_half_finished_goes_on_with_what_it_lacks(
    workspace: Path, prefect_server: str, tmp_path: Path
) -> None:
    concept = str(workspace.parent / "park.yaml")
    told = saeflow_here(workspace, "concept", "export", "park", str(tmp_path / "old"))
    assert told.returncode == 0 and "2 SAEs" in told.stdout, told.stderr
    lost, kept = sorted((tmp_path / "old").glob("*.npz"), key=lambda path: "layer_9" in path.name)
    spoil_activations(lost)
    words = ("concept", "import", str(tmp_path / "old"), concept, "--study", "mini", "--out", str(tmp_path / "saes"))
    told = saeflow_here(workspace, *words)
    assert told.returncode == 0 and kept.name in told.stdout and "96 of 96" in told.stdout, told.stderr
    assert f"{lost.name}: " in told.stderr and "damaged" in told.stderr and lost.name not in told.stdout
    assert f"--set imported={tmp_path / 'saes'}" in " ".join(told.stdout.split())
    again = saeflow_here(workspace, *words)
    assert again.returncode == 1 and "is there already; name a new folder" in " ".join(again.stderr.split())

    before = encoded(workspace)
    scan(workspace, Path(concept), prefect_server, "--set", f"imported={tmp_path / 'saes'}")
    (new,) = encoded(workspace) - before  # layer 0's was there; that of layer 9 is taken from the older run
    card = json.loads((workspace / "artifacts" / new / "scan.json").read_text("utf-8"))
    assert (card["key"], card["imported_from"]) == ("mini/layer_9", kept.name)
    top = [
        json.loads(saeflow_here(workspace, "concept", "top", key, "--json").stdout)["tables"] for key in keys(workspace)
    ]
    features = [[(row["sae"], row["feature"]) for row in one["top features"]] for one in top]
    assert features[0] == features[1]


def spoil_activations(path: Path) -> None:
    """Change a byte of the activations, so that everything else of the file can still be read."""
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("activations.npy").header_offset
    content = bytearray(path.read_bytes())
    content[start + 300] ^= 0xFF
    path.write_bytes(bytes(content))


def keys(workspace: Path) -> list[str]:
    return sorted(path.stem for path in (workspace / "scans").glob("concept-park*.json"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("import", "old", "{concept}", "--out", "x"), "say which SAEs the older scan had"),
        (("import", "none", "{concept}", "--study", "mini", "--out", "x"), "holds neither layer_"),
        (("export", "kindness", "old"), "was not scanned in"),
        (("export", "park", "old", "--sae", "mini/layer_1"), "was not ranked in"),
        (("scan", "{concept}", "--study", "mini", "--set", "imported=nowhere"), "imported: 'nowhere' does not exist"),
    ],
)
def test_what_cannot_be_carried_over_is_told_in_a_line(workspace: Path, words: tuple[str, ...], told: str) -> None:
    concept = str(workspace.parent / "park.yaml")
    ended = saeflow_here(workspace, "concept", *(word.format(concept=concept) for word in words))
    assert ended.returncode == 1 and told in " ".join(ended.stderr.split()) and "Traceback" not in ended.stderr
