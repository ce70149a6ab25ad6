"""The smallest study, the whole way, by the commands a user types."""

import json
import re
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from core.analysis.registry import declared
from core.store.artifacts import ArtifactStore
from tasks.tracking_database import sqlite_url
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow, saeflow_here

pytestmark = pytest.mark.timeout(1200)
ANALYSES = {name for name, analysis in declared().items() if analysis.distribution is None}


def test_the_report_is_there_and_every_artifact_equals_its_manifest(mini_workspace: Path) -> None:
    report = (mini_workspace / "reports" / "mini" / "report.html").read_text("utf-8")
    assert "Traceback" not in report and len(report) > 100_000
    steps = {artifact.step for artifact in ArtifactStore(mini_workspace / "artifacts")}
    assert steps >= ANALYSES | {"prepare", "capture", "extract_layer", "train_sae", "index_features", "report"}
    result = saeflow_here(mini_workspace, "verify")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_report_loads_nothing_from_elsewhere(mini_workspace: Path) -> None:
    report = (mini_workspace / "reports" / "mini" / "report.html").read_text("utf-8")
    assert not re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']https?://""", report)


def test_a_second_run_says_so_within_seconds_and_starts_nothing(mini_workspace: Path) -> None:
    began = time.monotonic()
    result = saeflow(mini_workspace, "run", "mini")
    assert "everything is there already" in result.stdout
    assert "starting the Prefect server" not in result.stdout
    assert time.monotonic() - began < 60, "a generous bound: the note has the real figure"


def test_a_recorded_run_shows_every_unit_as_cached(mini_workspace: Path) -> None:
    before = cached_runs(mini_workspace)
    result = saeflow(mini_workspace, "run", "mini", "--record")
    assert result.returncode == 0, result.stdout + result.stderr
    units = len(list(ArtifactStore(mini_workspace / "artifacts")))
    assert cached_runs(mini_workspace) - before == units


def cached_runs(workspace: Path) -> int:
    with sqlite3.connect(workspace / "prefect" / "prefect.db") as database:
        return int(database.execute("select count(*) from task_run where state_name = 'Cached'").fetchone()[0])


def test_mlflow_has_a_parent_a_run_an_sae_and_a_run_an_analysis(mini_workspace: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(sqlite_url("sqlite", mini_workspace / "mlflow.db"))
    experiment = client.get_experiment_by_name("saeflow-mini")
    runs = client.search_runs([experiment.experiment_id], max_results=200)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    saes = [run for run in children if run.data.tags["saeflow.step"] == "train_sae"]
    assert {run.data.tags["saeflow.unit"] for run in saes} == {"0", "9", "17", "33"}
    assert {run.data.tags["saeflow.step"] for run in children} == ANALYSES | {"train_sae"}
    assert all(run.info.status == "FINISHED" for run in runs)
    assert all({"held_out_fvu", "dead_fraction", "system/wall_seconds"} <= run.data.metrics.keys() for run in saes)
    parent = next(run for run in runs if run.info.run_id == saes[0].data.tags["mlflow.parentRunId"])
    assert parent.data.params["sae.k"] == "8" and parent.data.tags["prefect.flow_run_id"]
    assert "prefect.url" not in parent.data.tags  # its server has ended with the run
    curve = client.get_metric_history(parent.info.run_id, "by_layer/held_out_fvu")
    assert [point.step for point in curve] == [0, 9, 17, 33]
    assert len(client.get_metric_history(saes[0].info.run_id, "loss")) > 3


def test_mlflow_s_parent_run_holds_the_report_and_what_was_found(mini_workspace: Path) -> None:
    from mlflow import MlflowClient

    import saeflow as reader
    from flows.summary import headline_metrics

    client = MlflowClient(sqlite_url("sqlite", mini_workspace / "mlflow.db"))
    experiment = client.get_experiment_by_name("saeflow-mini")
    runs = client.search_runs([experiment.experiment_id], "tags.`mlflow.runName` = 'mini'", max_results=9)
    study = reader.open("mini", workspace=mini_workspace)
    for run in runs:  # the first, and the one that found everything there
        assert [entry.path for entry in client.list_artifacts(run.info.run_id, "report")] == ["report/report.html"]
        description = run.data.tags["mlflow.note.content"]
        assert description.startswith(study.config["description"])
        assert f"Report: `{mini_workspace.resolve() / 'reports' / 'mini' / 'report.html'}`" in description
        assert headline_metrics(study.found()).items() <= run.data.metrics.items()
    assert runs


@pytest.mark.filterwarnings("ignore:(?s).*type hint")  # mlflow's advice about hints; the signature decides
def test_a_logged_sae_loads_back_and_reconstructs_the_same(
    mini_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import torch
    from mlflow import MlflowClient

    from core.sae.formats import load_sae

    uri = sqlite_url("sqlite", mini_workspace / "mlflow.db")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("saeflow-mini")
    (run, *_) = client.search_runs([experiment.experiment_id], "tags.`saeflow.step` = 'train_sae'")
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/sae")
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    step, fingerprint = run.data.tags["saeflow.artifact"].split("/")
    ours = load_sae(mini_workspace / "artifacts" / step / fingerprint)
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(rows), ours(torch.from_numpy(rows)).numpy(), rtol=1e-6)


def test_one_layer_with_another_k_trains_one_sae_and_reuses_the_rest(
    mini_workspace: Path, tmp_path: Path, prefect_server: str, copy_databases: CopyDatabases
) -> None:
    workspace = tmp_path / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    before = set(ArtifactStore(workspace / "artifacts"))
    result = saeflow_here(workspace, "layer", "mini", "17", "--set", "sae.k=4", api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    made = set(ArtifactStore(workspace / "artifacts")) - before
    assert sorted(artifact.step for artifact in made) == ["index_features", "train_sae"]
    # What the study runs on layer 17 alone is there, so that only the report and one analysis are made.
    words = ("--refresh", "--analyses", "--set", "analyses.overview=null")
    result = saeflow_here(workspace, "layer", "mini", "17", *words, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("every file has the checksum it had") == 2
    more = set(ArtifactStore(workspace / "artifacts")) - before - made
    assert sorted(artifact.step for artifact in more) == ["interpretation", "report"]
    folder = workspace / "reports" / "mini+analyses.overview=null+layer=17"
    page = (folder / "report.html").read_text("utf-8")
    assert str(folder / "report.html") in result.stdout
    assert "<title>mini · analyses.overview=null · layer 17 · saeflow report</title>" in page
    assert "it compares layers, and this is the report of one" in page


def test_status_and_gc_know_the_study(mini_workspace: Path) -> None:
    status = saeflow_here(mini_workspace, "status")
    assert "mini-" in status.stdout and "complete" in status.stdout
    log = mini_workspace / "logs" / "pipeline" / "mini.log"
    assert str(log) in status.stdout
    text = log.read_text("utf-8")
    assert "full-analysis mini begins" in text and "report is done after" in text and "ERROR" not in text
    assert "running  " not in status.stdout and "killed  " not in status.stdout
    assert "Nothing to remove" in saeflow_here(mini_workspace, "gc").stdout
    manifest = next((mini_workspace / "artifacts" / "train_sae").glob("[!.]*/manifest.json"))
    assert json.loads(manifest.read_text())["mlflow_run_id"]
