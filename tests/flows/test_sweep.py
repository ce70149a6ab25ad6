"""A study that trains several SAEs a layer: one of them is used, and the frontier is shown."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.flows.commands import saeflow
from tests.flows.test_mini import ANALYSES

pytestmark = pytest.mark.timeout(600)
SWEEP = ("--set", "sae.k=[4, 8]", "--set", "sae.choose=lowest_fvu")


def test_several_k_are_trained_one_is_used_and_the_frontier_is_shown(mini_workspace: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(mini_workspace, workspace, symlinks=True)
    without = [word for name in sorted(ANALYSES) for word in ("--set", f"analyses.{name}=null")]
    result = saeflow(workspace, "run", "mini", *SWEEP, *without)
    assert result.returncode == 0, result.stdout + result.stderr

    trained = {folder: metrics(folder) for folder in (workspace / "artifacts" / "train_sae").glob("[!.]*")}
    assert len(trained) == 8  # four of k 8 were there
    chosen = list((workspace / "artifacts" / "choose_sae").glob("[!.]*"))
    assert len(chosen) == 4
    for folder in chosen:
        assert json.loads((folder / "choice.json").read_text())["variant"] == "k8"
        weights = (folder / "sae_weights.safetensors").read_bytes()
        (source,) = [one for one in trained if (one / "sae_weights.safetensors").read_bytes() == weights]
        assert json.loads((source / "cfg.json").read_text())["k"] == 8

    report = (workspace / "reports" / "mini" / "report.md").read_text("utf-8")
    assert report.count("| k4 |") == report.count("| k8 |") == 4
    assert (workspace / "reports" / "mini" / "figures" / "study-sae_frontier.png").stat().st_size > 5000

    client = MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-mini")
    runs = client.search_runs([experiment.experiment_id], "tags.`saeflow.step` = 'train_sae'", max_results=100)
    assert {run.data.params["sae.k"] for run in runs} == {"4", "8"}
    assert all(run.data.metrics["held_out_l0"] <= float(run.data.params["sae.k"]) for run in runs)

    refused = saeflow(workspace, "layer", "mini", "17", *SWEEP)
    assert refused.returncode == 1
    assert "say which one is meant, as in --set sae.k=16" in " ".join(refused.stderr.split())


def metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return found
