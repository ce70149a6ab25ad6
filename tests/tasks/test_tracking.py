import json
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from core.planning.loading import load_study, parse_study
from flows.runtime.settings import PROJECT
from flows.study_run import study_run
from tasks.left_open import close_left_open
from tasks.tracking import is_passing

PARENT = "mlflow.parentRunId"


@pytest.mark.filterwarnings("ignore")  # of MLflow and SQLAlchemy, while the database is made
def test_a_stopped_study_leaves_no_run_open_and_is_remembered_as_alive_only_while_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("SAEFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mini = load_study(PROJECT / "deployments" / "studies" / "mini.yaml")
    study = parse_study({**mini.model_dump(), "tracking": {"experiment": "stopped"}}, "here")
    with pytest.raises(KeyboardInterrupt), study_run(study, "threads", {}) as run:
        parent = str(run.context.parent_run_id)
        client = MlflowClient(uri)
        child = client.create_run(str(run.context.experiment_id), tags={PARENT: parent}).info.run_id
        assert json.loads((tmp_path / "live" / parent).read_text())["since"] <= time.time()
        assert close_left_open(uri, {parent}, []) == {}
        raise KeyboardInterrupt
    assert [client.get_run(run_id).info.status for run_id in (parent, child)] == ["KILLED", "KILLED"]
    assert list((tmp_path / "live").iterdir()) == []


def test_a_busy_store_is_tried_again_and_a_wrong_value_is_not() -> None:
    busy = MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)
    assert is_passing(busy) and is_passing(MlflowException("connection refused"))
    wrong = MlflowException("no such experiment", error_code=INVALID_PARAMETER_VALUE)
    assert not is_passing(wrong) and not is_passing(ValueError("INTERNAL_ERROR"))
