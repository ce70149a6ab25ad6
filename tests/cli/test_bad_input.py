"""Bad input at the command: one line that names it and the mend, exit code 1, never a traceback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.commands import PROJECT, saeflow_here
from tests.flows.commands import saeflow as saeflow_alone

Saeflow = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def saeflow(tmp_path: Path) -> Saeflow:
    def call(*words: str, workspace: str | None = None) -> "subprocess.CompletedProcess[str]":
        return saeflow_here(workspace or tmp_path / "workspace", *words)

    return call


def study_file(folder: Path, **changes: object) -> str:
    study = {"name": "mine", "data": {"source": "scenes", "num_samples": 8}, "model": {"path": "model"}, **changes}
    path = folder / "mine.yaml"
    path.write_text(json.dumps(study), encoding="utf-8")
    return str(path)


def refused(result: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert result.returncode != 0
    assert words in " ".join(result.stderr.split()), result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_unknown_study(tmp_path: Path) -> None:
    refused(saeflow_alone(tmp_path / "workspace", "run", "dmeo"), "did you mean demo?")


def test_unknown_key_and_wrong_value(saeflow: Saeflow) -> None:
    refused(saeflow("run", "demo", "--set", "sae.kk=3"), "sae.kk: unknown key; did you mean 'k'?")
    refused(saeflow("plan", "demo", "--set", "sae.k=-3"), "sae.k: -3 is wrong")


def test_broken_yaml(saeflow: Saeflow, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\nb: 2")
    refused(saeflow("run", str(tmp_path / "broken.yaml")), "not valid YAML")


def test_layer_out_of_range_is_told_before_anything_runs(saeflow: Saeflow) -> None:
    result = saeflow("run", "demo", "--set", "capture.layers=30-40")
    refused(result, "layer 34 is out of range; the model has layers 0-33")
    refused(saeflow("layer", "mini", "40"), "layer 40 is not among the study's layers (0, 9, 17, 33)")


def test_model_folder_that_is_missing_or_holds_no_weights(saeflow: Saeflow, tmp_path: Path) -> None:
    refused(saeflow("run", study_file(tmp_path)), "model.path: 'model' does not exist")
    (tmp_path / "model").mkdir()
    refused(saeflow("run", study_file(tmp_path)), "no weights")
    config = PROJECT / "deployments" / "models" / "scene-captioner" / "config.json"
    (tmp_path / "model" / "config.json").write_text(config.read_text())
    refused(saeflow("run", study_file(tmp_path)), "weights")


def test_unknown_cluster_and_package(saeflow: Saeflow, tmp_path: Path) -> None:
    refused(saeflow("run", "demo", "--cluster", "slrum"), "cluster 'slrum': no such profile")
    refused(saeflow("run", study_file(tmp_path, model={"path": "package:no-such-weights"})), "is not installed")


def test_workspace_that_cannot_be_written(saeflow: Saeflow) -> None:
    refused(saeflow("run", "demo", workspace="/dev/null/here"), "cannot be written to")


def test_missing_table(saeflow: Saeflow, tmp_path: Path) -> None:
    model = str(PROJECT / "deployments" / "models" / "scene-captioner")
    path = study_file(tmp_path, data={"source": "table", "path": "no.csv"}, model={"path": model})
    refused(saeflow("plan", path), "data.path: 'no.csv' does not exist")


@pytest.mark.filterwarnings("ignore")  # of MLflow and SQLAlchemy, while the database is made
def test_a_deleted_experiment_is_told_before_a_server_starts_or_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from cli.layer import layer
    from cli.run import run
    from core.errors import BadInput
    from tasks.tracking_database import make_tracking_database

    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(workspace))
    monkeypatch.delenv("SAEFLOW_TRACKING_URI", raising=False)
    make_tracking_database(f"sqlite:///{workspace / 'mlflow.db'}", workspace / "mlartifacts")
    client = MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    client.delete_experiment(client.create_experiment("saeflow-mini"))
    for start in (lambda: run("mini"), lambda: layer("mini", 17)):
        with pytest.raises(BadInput, match=r"tracking\.experiment: 'saeflow-mini' \(id 1\) was deleted in MLflow"):
            start()
    assert not (workspace / "prefect").exists() and not (workspace / "artifacts").exists()


def test_gc_of_an_unknown_study(saeflow: Saeflow) -> None:
    refused(saeflow("gc", "--forget", "nothing"), "no study, scan or catalogue 'nothing'")


def test_what_is_looked_at_before_the_servers_start_loads_no_prefect() -> None:
    # Prefect reads its settings when it is imported: before its server is there, it would settle on another one.
    program = "import sys, cli.checks, flows.slurm.check; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False).returncode == 0
