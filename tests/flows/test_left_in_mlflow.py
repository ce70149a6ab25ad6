"""What a kill -9 leaves open in a real MLflow store is closed at the next start; what others make is left alone."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core.store.workspace import Workspace
from flows.left_in_mlflow import close_left_in_mlflow, try_to_close_in_mlflow
from flows.runtime.settings import Settings
from tasks.lease import live_mark, own_lease, sign_of_life
from tests.databases import CopyDatabases

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]  # of MLflow and SQLAlchemy
PARENT = "mlflow.parentRunId"


class Store:
    """An MLflow store, with a study's runs as `study_run` makes them."""

    def __init__(self, workspace: Path, uri: str) -> None:
        self.workspace, self.settings = workspace, Settings(Workspace(workspace), uri, "")
        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment("studies")

    def study(self, name: str = "mini") -> tuple[str, str]:
        """An open parent run and an open run below it."""
        tags = {"saeflow.study": name}
        parent = self.client.create_run(self.experiment, tags=tags).info.run_id
        return parent, self.client.create_run(self.experiment, tags={**tags, PARENT: parent}).info.run_id

    def dead_mark(self, run: str, age_s: float = 0.0) -> Path:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        mark = live_mark(self.workspace, run)
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(json.dumps({**asdict(own_lease()), "pid": ended.pid}))
        os.utime(mark, (time.time() - age_s, time.time() - age_s))
        return mark

    def states(self, runs: tuple[str, ...]) -> list[str]:
        return [str(self.client.get_run(run).info.status) for run in runs]


@pytest.fixture
def own(tmp_path: Path, copy_databases: CopyDatabases) -> Store:
    copy_databases(tmp_path)
    return Store(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def shared(tmp_path: Path, copy_databases: CopyDatabases) -> Store:
    """A store that studies of other workspaces use, too."""
    copy_databases(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    return Store(tmp_path / "here", f"sqlite:///{tmp_path / 'elsewhere' / 'mlflow.db'}")


def test_in_the_workspace_s_own_store_only_living_studies_stay_open(own: Store) -> None:
    living, killed, unmarked = own.study("living"), own.study("killed"), own.study("unmarked")
    foreign = (own.client.create_run(own.experiment).info.run_id,)  # of a notebook
    mark = own.dead_mark(killed[0])
    with sign_of_life(live_mark(own.workspace, living[0])):
        lines = close_left_in_mlflow(own.settings)
    gone = "was left Running in MLflow and its process is gone: closed as KILLED"
    assert sorted(lines) == [f"killed (with 1 below it) {gone}", f"unmarked (with 1 below it) {gone}"]
    assert own.states((*living, *foreign)) == ["RUNNING"] * 3
    assert own.states((*killed, *unmarked)) == ["KILLED"] * 4
    assert not mark.exists() and close_left_in_mlflow(own.settings) != lines


def test_in_a_shared_store_only_studies_that_this_workspace_knows_to_have_ended_are_closed(shared: Store) -> None:
    killed, others = shared.study("killed"), shared.study("another user's")
    mark, of_another_store = shared.dead_mark(killed[0]), shared.dead_mark("0" * 32)
    old = shared.dead_mark("1" * 32, age_s=31 * 24 * 3600)
    assert [line.split(" was")[0] for line in close_left_in_mlflow(shared.settings)] == ["killed (with 1 below it)"]
    assert shared.states(killed) == ["KILLED"] * 2 and shared.states(others) == ["RUNNING"] * 2
    assert [path.exists() for path in (mark, of_another_store, old)] == [False, True, False]


def test_a_store_that_is_not_there_yet_is_not_made_and_a_silent_one_is_told(tmp_path: Path) -> None:
    settings = Settings(Workspace(tmp_path), f"sqlite:///{tmp_path / 'mlflow.db'}", "")
    assert close_left_in_mlflow(settings) == [] and not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    (line,) = try_to_close_in_mlflow(settings)
    assert line.startswith("MLflow could not be asked for what a killed process left running: ")
