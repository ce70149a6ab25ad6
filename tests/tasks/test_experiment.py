"""MLflow experiments that a study cannot use are told of before anything is computed, in one line with the fix."""

import sqlite3
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core.errors import BadInput
from tasks.experiment import check_database, check_experiment
from tasks.tracking import is_deleted
from tests.databases import CopyDatabases

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and SQLAlchemy, while the database is made


@pytest.fixture
def uri(tmp_path: Path, copy_databases: CopyDatabases) -> str:
    copy_databases(tmp_path / "a workspace")
    return f"sqlite:///{tmp_path / 'a workspace' / 'mlflow.db'}"


def told(uri: str, name: str) -> str:
    with pytest.raises(BadInput) as raised:
        check_experiment(uri, name)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_experiment_that_is_there_or_can_be_made_is_taken(uri: str, tmp_path: Path) -> None:
    check_experiment(uri, "new")
    MlflowClient(uri).create_experiment("here", artifact_location=(tmp_path / "mlartifacts" / "here").as_uri())
    check_experiment(uri, "here")
    check_experiment(f"sqlite:///{tmp_path / 'none' / 'mlflow.db'}", "new")


def test_a_deleted_experiment_is_named_and_the_line_s_command_brings_it_back(uri: str) -> None:
    client = MlflowClient(uri)
    number = client.create_experiment("deleted ones")
    run = client.create_run(number).info.run_id
    client.delete_experiment(number)
    assert is_deleted(uri, run)
    line = told(uri, "deleted ones")
    assert f"'deleted ones' (id {number}) was deleted in MLflow" in line and "tracking.experiment" in line
    command = line.split("`")[1]
    assert "experiments restore --experiment-id" in command
    subprocess.run(command, shell=True, check=True, capture_output=True)
    check_experiment(uri, "deleted ones")
    assert not is_deleted(uri, run)


def test_an_experiment_whose_folder_went_with_a_moved_workspace_is_told(uri: str, tmp_path: Path) -> None:
    moved = tmp_path / "before" / "mlartifacts" / "moved"
    MlflowClient(uri).create_experiment("moved", artifact_location=moved.as_uri())
    line = told(uri, "moved")
    assert str(moved) in line and f"{tmp_path / 'before'} is gone" in line
    moved.parent.parent.mkdir()
    check_experiment(uri, "moved")


def test_a_file_in_the_place_of_the_folder_is_told(uri: str, tmp_path: Path) -> None:
    MlflowClient(uri).create_experiment("file", artifact_location=str(tmp_path / "file"))
    (tmp_path / "file").touch()
    assert "no folder that can be written to" in told(uri, "file")


def test_a_database_of_a_newer_mlflow_is_told_as_that(uri: str) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("update alembic_version set version_num = 'fedcba987654'")
    line = told(uri, "any")
    assert "schema fedcba987654 is of a newer MLflow" in line and "SAEFLOW_TRACKING_URI" in line


def test_a_database_of_an_older_mlflow_keeps_mlflow_s_own_advice(uri: str) -> None:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("update alembic_version set version_num = '0a8213491aaa'")
    assert "mlflow db upgrade" in told(uri, "any")


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 40, None])
def test_what_is_no_database_is_told_at_once(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "mlflow.db"
    place.write_bytes(content) if content else place.mkdir()
    with pytest.raises(BadInput, match="database"):
        check_database(f"sqlite:///{place}")


def test_another_program_s_database_is_not_mlflow_s(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("create table photos (name text)")
    with pytest.raises(BadInput, match="not made by MLflow"):
        check_database(f"sqlite:///{tmp_path / 'other.db'}")


@pytest.mark.parametrize("wrong", ["sqlite:/one-slash.db", "nosuchkind://here"])
def test_an_address_that_mlflow_does_not_know_is_told(wrong: str) -> None:
    assert wrong.partition(":")[0] in told(wrong, "any")


def test_an_empty_name_is_told() -> None:
    assert "tracking.experiment" in told("sqlite:///:memory:", " ")
