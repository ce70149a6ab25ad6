"""Two concepts of a study's own, through the commands: what is there is shared, and only what is theirs is made."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import saeflow as reader
from core.store.artifacts import ArtifactStore
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import latest_report, saeflow_here

pytestmark = pytest.mark.timeout(600)
CONCEPTS = [
    {
        "name": "spoken",
        "words": {
            "herself": {"en": ["woman", "she", "her"], "ar": ["امرأة", "المرأة", "وهي"]},
            "himself": {"en": ["man", "he", "his"], "ar": ["رجل", "الرجل", "وهو"]},
        },
    },
    {"name": "order", "column": "place_first"},
]
"""Words that every caption has, in pairs; and a column of truth values, about which captions say nothing."""
SET = [
    word
    for field, value in {
        "concepts": CONCEPTS,
        "analyses.overview": {"bootstrap": 50, "spliced_images": 0, "shuffles": 5},
        "analyses.evolution": None,
        "analyses.visual_patterns": None,
    }.items()
    for word in ("--set", f"{field}={json.dumps(value)}")
]


@pytest.fixture(scope="module")
def workspace(
    mini_workspace: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases
) -> Path:
    """The mini study that was there, and the same with two other concepts."""
    workspace = tmp_path_factory.mktemp("concepts") / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    result = saeflow_here(workspace, "run", "mini", *SET, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    return workspace


def test_rows_saes_and_index_are_those_that_were_there(workspace: Path, mini_workspace: Path) -> None:
    store = ArtifactStore(workspace / "artifacts")
    new = set(store) - set(ArtifactStore(mini_workspace / "artifacts"))
    steps = Counter(artifact.step for artifact in new)
    assert steps == {
        "rank_features": 8, "overview": 2, "interpretation": 2, "ablation": 1, "amplification": 1, "report": 1
    }  # fmt: skip
    labels = {store.manifest(artifact)["label"] for artifact in new}
    assert {"overview[spoken]", "overview[order]", "ablation[spoken]", "rank_features[9-order]"} <= labels


def test_plan_says_what_is_left_out_and_why(workspace: Path) -> None:
    told = " ".join(saeflow_here(workspace, "plan", "mini", *SET).stdout.split())
    assert "skipped ablation: for order: it compares a word with its counterpart, and order has no words" in told
    assert "skipped qualitative: for spoken: it is about gender alone" in told


def test_the_report_speaks_of_these_concepts_alone(workspace: Path) -> None:
    text = (latest_report(workspace) / "report.md").read_text(encoding="utf-8")
    said = text.partition("## The data")[0]
    assert "log p(herself word)" in said and "does order show?" in said and "first spoken word" in said
    figures = re.findall(r"!\[(.*?)\]\(figures/(?!study)", text)
    assert len(figures) > 8
    assert not [line for line in [said, *figures] if re.search(r"gender|female|\bmale|wom[ae]n", line)]


def test_results_are_read_by_concept(workspace: Path) -> None:
    study = reader.open(latest_report(workspace).name, workspace)
    assert {"overview", "overview-order", "ablation"} <= set(study.results) and "ablation-order" not in study.results
    effects = study.result("ablation").tables["effects"]
    assert "first-spoken" in effects["outcome"].to_list()
    sets = set(study.result("overview-order").tables["emergence"]["position_set"])
    assert sets and sets <= {"image", "last-prompt"}
    assert study.layer(9).concept.sides == ("herself", "himself")
