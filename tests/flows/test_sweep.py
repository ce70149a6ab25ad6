"""Studies that train several SAEs a layer, measure others' beside them, or use others' in their place."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from core.errors import BadInput
from core.planning.graph import plan_study
from core.planning.loading import load_study
from core.planning.located import Shape, Sources
from core.store.artifacts import ArtifactStore
from flows.runtime.settings import PROJECT
from flows.single_layer import _units_of
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import latest_report, saeflow_here
from tests.flows.test_mini import ANALYSES

pytestmark = pytest.mark.timeout(600)
LAYERS = (0, 9, 17, 33)
SWEEP = ("--set", "sae.k=[4, 8]", "--set", "sae.choose=lowest_fvu")
WITHOUT = [word for name in sorted(ANALYSES) for word in ("--set", f"analyses.{name}=null")]


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JumpReLU SAE a layer in Gemma Scope's layout, in a folder called as its repository is: random unit directions
    that fire where they are met."""
    folder = tmp_path_factory.mktemp("scope") / "gemma-scope-2b-pt-res"
    folder.mkdir()
    for layer in LAYERS:
        generator = torch.Generator().manual_seed(layer)
        decoder = torch.nn.functional.normalize(torch.randn(256, 64, generator=generator), dim=1)
        parts = {"W_enc": decoder.T, "W_dec": decoder, "b_enc": torch.zeros(256), "b_dec": torch.zeros(64)}
        (folder / f"layer_{layer}").mkdir()
        arrays = {**parts, "threshold": torch.full((256,), 2.0)}
        np.savez(folder / f"layer_{layer}" / "params.npz", **{name: part.numpy() for name, part in arrays.items()})
    return folder


@pytest.fixture(scope="module")
def swept(
    mini_workspace: Path,
    scope: Path,
    prefect_server: str,
    tmp_path_factory: pytest.TempPathFactory,
    copy_databases: CopyDatabases,
) -> Path:
    """The mini study with two k, and others' SAEs beside them."""
    workspace = tmp_path_factory.mktemp("swept") / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    with (
        closing(sqlite3.connect(mini_workspace / "mlflow.db")) as of_k8,
        closing(sqlite3.connect(workspace / "mlflow.db")) as mine,
    ):
        of_k8.backup(mine)
    beside = ("--set", f"sae.beside={scope}/layer_{{layer}}")
    result = saeflow_here(workspace, "run", "mini", *SWEEP, *beside, *WITHOUT, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    return workspace


def folders(workspace: Path, step: str) -> Iterator[Path]:
    store = ArtifactStore(workspace / "artifacts")
    return (store.path(artifact) for artifact in store if artifact.step == step)


def layer_of(folder: Path) -> int:
    return int(json.loads((folder / "manifest.json").read_text())["unit"]["recipe"]["layer"])


def test_several_k_are_trained_and_one_is_used_for_all_layers(swept: Path) -> None:
    trained = list(folders(swept, "train_sae"))
    assert len(trained) == 8  # four of k 8 were there
    chosen = list(folders(swept, "choose_sae"))
    assert sorted(layer_of(folder) for folder in chosen) == list(LAYERS)
    for folder in chosen:
        assert json.loads((folder / "choice.json").read_text())["variant"] == "k8"
        weights = (folder / "sae_weights.safetensors").read_bytes()
        (source,) = [one for one in trained if (one / "sae_weights.safetensors").read_bytes() == weights]
        assert json.loads((source / "cfg.json").read_text())["k"] == 8
        assert layer_of(source) == layer_of(folder)


def test_the_frontier_is_in_the_report_and_in_mlflow(swept: Path) -> None:
    report = (latest_report(swept) / "report.md").read_text("utf-8")
    assert report.count("| k4 |") == report.count("| k8 |") == report.count("| beside |") == len(LAYERS)
    assert (latest_report(swept) / "figures" / "study-sae_frontier.png").stat().st_size > 5000
    client = MlflowClient(f"sqlite:///{swept / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-mini")
    runs = client.search_runs([experiment.experiment_id], "tags.`saeflow.step` = 'train_sae'", max_results=100)
    assert {run.data.params["sae.k"] for run in runs} == {"4", "8"}
    assert all(run.data.metrics["held_out_l0"] <= float(run.data.params["sae.k"]) for run in runs)


def test_others_saes_are_used_in_place_of_ours(swept: Path, scope: Path, prefect_server: str) -> None:
    trained = set(folders(swept, "train_sae"))
    others = ("--set", f"sae.pretrained={scope}/layer_{{layer}}")
    result = saeflow_here(swept, "run", "mini", *others, *WITHOUT, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    warning = "layers 0, 9, 17, 33: the autoencoder was trained on another model (blocks.{layer}.hook_resid_post of"
    assert warning in " ".join(result.stderr.split())
    imported = list(folders(swept, "import_sae"))
    assert sorted(layer_of(folder) for folder in imported) == list(LAYERS)  # the ones that were measured beside ours
    assert set(folders(swept, "train_sae")) == trained
    for folder in imported:
        theirs = np.load(scope / f"layer_{layer_of(folder)}" / "params.npz")
        np.testing.assert_array_equal(load_file(folder / "sae_weights.safetensors")["W_dec"], theirs["W_dec"])
        kept = json.loads((folder / "cfg.json").read_text())["metadata"]
        assert kept["model_name"] == "google/gemma-2-2b"
        assert kept["hook_name"] == kept["used_on"]["hook_name"] == f"blocks.{layer_of(folder)}.hook_resid_post"
    indices = list(folders(swept, "index_features"))
    assert len(indices) == 3 * len(LAYERS)
    origins = [json.loads(path.read_text()) for path in (index / "origin.json" for index in indices) if path.exists()]
    assert [origin["used_on"]["differs"] for origin in origins] == [["model"]] * len(LAYERS)
    for name in ("report.md", "report.html"):
        text = (latest_report(swept) / name).read_text("utf-8")
        assert "Where the autoencoders were trained" in text and "google/gemma" in text.replace("\\", "")


def test_a_missing_folder_and_a_layer_of_several_saes_are_told(swept: Path, scope: Path) -> None:
    missing = saeflow_here(swept, "run", "mini", "--set", f"sae.pretrained={scope}/lay_{{layer}}")
    assert missing.returncode == 1
    assert "lay_0 does not exist" in " ".join(missing.stderr.split())
    study = load_study(PROJECT / "deployments" / "studies" / "mini.yaml", ["sae.k=[4, 8]"])
    plan = plan_study(study, Sources("data", "model"), Shape(48, 34, 64, True))
    with pytest.raises(BadInput, match=r"say which one is meant, as in --set sae\.k=16"):
        _units_of(plan, 17)
