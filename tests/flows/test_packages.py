"""An analysis of an installed package, the whole way: planned, run, reported, and met by a worker that lacks it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import saeflow as public
from core.entry_points import Registered
from core.store.artifacts import Artifact, ArtifactStore
from core.store.units import Unit
from flows.slurm.check import compare_packages
from tasks.context import RunContext
from tasks.worker_check import check
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import PROJECT, latest_report, saeflow, saeflow_here
from tests.packages import install, shown_package

pytestmark = pytest.mark.timeout(900)
SECTION = ("--set", "analyses.firing={least: 2}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package of docs/python.md is installed in."""
    return install(shown_package(), tmp_path_factory.mktemp("firing"))


@pytest.fixture(scope="module")
def made(
    site: Path,
    mini_workspace: Path,
    tmp_path_factory: pytest.TempPathFactory,
    prefect_server: str,
    copy_databases: CopyDatabases,
) -> Path:
    """A workspace in which the mini study has run with the package's analysis."""
    workspace = tmp_path_factory.mktemp("made") / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    ended = saeflow(workspace, "run", "mini", *SECTION, more={"PYTHONPATH": str(site)}, api=prefect_server)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


def of_step(workspace: Path, step: str) -> list[Artifact]:
    return [artifact for artifact in ArtifactStore(workspace / "artifacts") if artifact.step == step]


def test_only_the_package_s_analysis_and_the_report_are_made(made: Path, mini_workspace: Path) -> None:
    before, after = (set(ArtifactStore(root / "artifacts")) for root in (mini_workspace, made))
    assert sorted(artifact.step for artifact in after - before) == ["firing", "report"]


def test_its_package_and_version_are_part_of_the_fingerprint(made: Path) -> None:
    (artifact,) = of_step(made, "firing")
    unit = Unit.from_json(ArtifactStore(made / "artifacts").manifest(artifact)["unit"])
    assert unit.recipe["distribution"] == ["saeflow-firing", "1.0"]
    newer = Unit.from_json({**unit.to_json(), "recipe": {**unit.recipe, "distribution": ["saeflow-firing", "1.1"]}})
    assert newer.artifact != unit.artifact == artifact


def test_the_plan_names_it_and_the_report_has_its_chapter(made: Path, site: Path) -> None:
    plan = saeflow(made, "plan", "mini", *SECTION, more={"PYTHONPATH": str(site)}).stdout
    assert "  package  firing: saeflow-firing 1.0" in plan
    assert next(line.split()[1:3] for line in plan.splitlines() if line.startswith("analyse")) == ["8", "8"]
    report = (latest_report(made) / "report.md").read_text("utf-8")
    chapter = report.partition("## Features that fire\n")[2].partition("\n## ")[0]
    assert "*How many features fire in each layer?*" in chapter and "figures/firing-live.png" in chapter
    assert "Measured: features that fire, in the layer with most, 128.00 features (4 layers)." in chapter


def test_mlflow_shows_it_as_a_run(made: Path, site: Path) -> None:
    (artifact,) = of_step(made, "firing")
    assert ArtifactStore(made / "artifacts").manifest(artifact)["mlflow_run_id"]


def test_a_study_that_does_not_name_it_keeps_its_fingerprints(made: Path, site: Path) -> None:
    told = saeflow(made, "run", "mini", more={"PYTHONPATH": str(site)}).stdout
    assert "mini: everything is there already" in told


def test_its_result_is_read_where_the_package_is_missing(made: Path) -> None:
    study = public.open('mini · analyses.firing={"least":2}', workspace=made)
    assert study.config["analyses"]["firing"] == {"least": 2}
    assert study.result("firing").tables["live"].rows() == [(layer, 128) for layer in (0, 9, 17, 33)]


def test_a_study_that_names_it_is_refused_where_the_package_is_missing(made: Path) -> None:
    told = saeflow_here(made, "plan", "mini", *SECTION)
    assert told.returncode == 1 and told.stderr.startswith("error: mini.yaml: analyses.firing: unknown key; ")


# A scheduler in the flow's process, and a worker as SLURM's jobs start it, but without the package.
SEND = """
import json, os, subprocess, sys
from flows.runtime.environment import neutral_dask
neutral_dask()
from distributed import Client, LocalCluster
from tasks.registry import STEPS
with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as cluster:
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-m", "flows.slurm.worker", cluster.scheduler_address, "--nthreads", "1", "--no-nanny"]
    worker = subprocess.Popen(words, env=bare)
    try:
        with Client(cluster) as client:
            print("told:", client.submit(STEPS["firing"].fn, *map(json.loads, sys.argv[1:])).exception(timeout=90))
    finally:
        worker.terminate()
        worker.wait()
"""


def test_a_worker_without_the_package_fails_the_unit_and_names_it(site: Path, tmp_path: Path) -> None:
    unit = Unit("firing", 1, "", {"config": {}, "layers": [], "distribution": ["saeflow-firing", "1.0"]})
    context = RunContext(workspace=str(tmp_path), study="toy", data_base="", model_folder="")
    words = [sys.executable, "-c", SEND, json.dumps(unit.to_json()), json.dumps(context.to_json())]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    ended = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240)
    (told,) = [line for line in ended.stdout.splitlines() if line.startswith("told: ")] or [ended.stderr]
    assert told == (
        f"told: analysis firing: planned with saeflow-firing 1.0, and {sys.prefix} lacks it; "
        "install saeflow-firing 1.0 there, in the environment that the workers use"
    )


def test_a_worker_whose_package_cannot_be_imported_ends_at_once_and_says_so(site: Path, tmp_path: Path) -> None:
    files = shown_package() | {"saeflow_firing/__init__.py": "import nobody_has_this"}
    broken = install(files, tmp_path)
    words = [sys.executable, "-m", "flows.slurm.worker", "tcp://127.0.0.1:1"]
    environment = {**os.environ, "PYTHONPATH": str(broken)}
    ended = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: analysis firing of saeflow-firing 1.0: saeflow_firing:ANALYSIS cannot be")


def test_cluster_check_compares_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    here = (Registered("firing", "saeflow-firing", "1.0"),)
    monkeypatch.setattr("flows.slurm.check.registered", lambda: here)
    assert compare_packages("cpu", here).verdict == "ok"
    assert compare_packages("cpu", here).words == "firing of saeflow-firing 1.0"
    missing = compare_packages("gpu", [])
    assert (missing.subject, missing.verdict) == ("gpu analyses", "wrong")
    assert missing.words.startswith("firing of saeflow-firing 1.0 is not installed there; install the same packages")


def test_a_worker_tells_of_its_packages(site: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tasks.worker_check", str(tmp_path), "file", "127.0.0.1:1", ""]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    told = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert json.loads(told.stdout)["analyses"] == [["firing", "saeflow-firing", "1.0"]]
    assert check(tmp_path, "file", "127.0.0.1:1", "")["analyses"] == []
