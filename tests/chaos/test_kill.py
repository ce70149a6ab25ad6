import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.chaos.kill import differences, torment
from tests.databases import CopyDatabases
from tests.flows.commands import FEWER, LEFT_OUT

pytestmark = pytest.mark.timeout(1800)
# Where two quiet cores are in the middle of captures; anywhere will do.
MOMENTS = [16.0]


def test_a_killed_study_ends_as_an_undisturbed_one_to_the_byte(
    request: pytest.FixtureRequest, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    harsh = tmp_path / "workspace"
    copy_databases(harsh)
    torment(("mini", *FEWER), harsh, MOMENTS)
    calm: Path = request.getfixturevalue("mini_workspace")  # which another process may make in the meantime
    assert differences(calm, harsh, (*LEFT_OUT, "report")) == []  # the report names what was left out
    client = MlflowClient(f"sqlite:///{harsh / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-mini")
    states = {run.info.status for run in client.search_runs([experiment.experiment_id], max_results=500)}
    assert states <= {"FINISHED", "KILLED"}, "runs that a kill left open are closed at resume"
    with sqlite3.connect(harsh / "prefect" / "prefect.db") as database:
        for table in ("flow_run", "task_run"):
            open_ones = f"select name from {table} where state_type not in ('COMPLETED', 'CRASHED', 'FAILED')"
            assert database.execute(open_ones).fetchall() == [], "what a kill left open in Prefect is closed at resume"
    left = [path.name for path in (harsh / "artifacts").glob("*/.*") if path.name.endswith(".checkpoint")]
    assert left == []
