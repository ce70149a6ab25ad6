"""A study with `sae.frozen` trains, indexes and describes a frozen dictionary beside each SAE, and nothing else."""

import re
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

import saeflow as reader
from core.reading.records import open_by_name
from core.sae.formats import load_sae
from core.store.artifacts import ArtifactStore
from core.store.workspace import Workspace
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import latest_report, saeflow_here

pytestmark = pytest.mark.timeout(600)
LAYERS = (0, 9, 17, 33)
FROZEN = ("--set", "sae.frozen=true")
STEPS = ("train_sae", "index_features", "describe_features")


@pytest.fixture(scope="module")
def workspace(
    mini_workspace: Path,
    prefect_server: str,
    tmp_path_factory: pytest.TempPathFactory,
    copy_databases: CopyDatabases,
) -> Path:
    """The mini study that was there, and the same with frozen dictionaries."""
    workspace = tmp_path_factory.mktemp("frozen") / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    result = saeflow_here(workspace, "run", "mini", *FROZEN, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    return workspace


def made(workspace: Path, since: Path | None = None) -> dict[str, str]:
    """The labels of the artefacts that are there, or that are not in the workspace `since`, by reference."""
    before = set(ArtifactStore(since / "artifacts")) if since else set()
    store = ArtifactStore(workspace / "artifacts")
    return {one.ref: store.manifest(one)["label"] for one in set(store) - before}


def test_only_its_units_and_the_report_are_made(workspace: Path, mini_workspace: Path) -> None:
    labels = sorted(made(workspace, mini_workspace).values())
    assert labels == sorted(["report", *(f"{step}[{layer}-frozen]" for step in STEPS for layer in LAYERS)])


def test_a_second_run_makes_nothing_and_every_command_knows_it(workspace: Path) -> None:
    before = made(workspace)
    again = saeflow_here(workspace, "run", "mini", *FROZEN)
    assert "everything is there already" in again.stdout, again.stdout + again.stderr
    assert made(workspace) == before
    assert saeflow_here(workspace, "verify").returncode == 0
    assert "Nothing to remove" in saeflow_here(workspace, "gc").stdout
    assert "mini · sae.frozen=true" in saeflow_here(workspace, "status").stdout
    planned = saeflow_here(workspace, "plan", "mini", *FROZEN).stdout.splitlines()
    (row,) = [line.split() for line in planned if "train_sae" in line]
    assert row[1:3] == ["8", "8"]


def test_the_report_shows_them_beside_the_saes(workspace: Path) -> None:
    report = (latest_report(workspace) / "report.md").read_text("utf-8")
    (heading,) = [line for line in report.splitlines() if line.startswith("| Layer |") and "Frozen" in line]
    assert heading.endswith("| Frozen held out FVU | Frozen held out L0 | Frozen dead fraction |")
    assert heading not in (workspace / "reports" / "mini" / "report.md").read_text("utf-8")


def test_mlflow_has_a_run_for_each_called_after_it(workspace: Path) -> None:
    client = MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-mini")
    runs = client.search_runs([experiment.experiment_id], "tags.`saeflow.step` = 'train_sae'", max_results=100)
    assert {run.info.run_name for run in runs} == {f"train_sae[{layer}-frozen]" for layer in LAYERS}
    assert all(run.data.params["sae.frozen_decoder"] == "true" for run in runs)


def test_a_reader_opens_them_as_it_opens_saes(workspace: Path) -> None:
    study = open_by_name(Workspace(workspace), "mini · sae.frozen=true")
    frozen = study.frozen
    assert frozen is not None and frozen.layers == study.layers == LAYERS
    own, other = study.layer(17), frozen.layer(17)
    assert own.table.tokens.equals(other.table.tokens)
    assert own.index.num_features == other.index.num_features == other.ranking.num_features == 128
    sae = load_sae(frozen.sae_folder(17))
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(128))
    assert frozen.sae_metrics()[17]["held_out_fvu"] > study.sae_metrics()[17]["held_out_fvu"]
    described = frozen.described(17)
    assert described is not None and described != study.described(17)
    promoted = frozen.influences(17, 0)
    assert promoted is not None and promoted.height
    assert reader.open("mini", workspace=workspace).frozen is None


def test_one_layer_made_again_makes_its_own_too(workspace: Path, prefect_server: str) -> None:
    result = saeflow_here(workspace, "layer", "mini", "17", "--refresh", *FROZEN, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    again = re.findall(r"(\S+): computed again; every file has the checksum it had", result.stdout)
    assert again == [f"{step}[17{end}]" for step in STEPS[:2] for end in ("", "-frozen")]
