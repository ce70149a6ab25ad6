import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.tracking_database import make_tracking_database

MAKING = "import sys; from pathlib import Path; from tasks.tracking_database import make_tracking_database as make; "


@pytest.mark.filterwarnings("ignore")  # of MLflow and SQLAlchemy, while the database is made
def test_a_kill_in_the_middle_of_the_making_leaves_nothing_that_the_next_could_trip_over(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    uri, artifacts = f"sqlite:///{place}", tmp_path / "mlartifacts"
    words = [sys.executable, "-c", MAKING + "make(sys.argv[1], Path(sys.argv[2]))", uri, str(artifacts)]
    child = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    while not _tables(tmp_path / ".mlflow.db.making" / "mlflow.db") >= 5:
        assert child.poll() is None, "it was made before it could be killed"
        time.sleep(0.005)
    child.kill()
    child.wait()
    assert not place.exists() and (tmp_path / ".mlflow.db.making").exists()
    make_tracking_database(uri, artifacts)
    assert MlflowClient(uri).search_experiments()[0].artifact_location == f"{artifacts.as_uri()}/0"
    made = place.stat().st_mtime_ns
    make_tracking_database(uri, artifacts)
    assert place.stat().st_mtime_ns == made
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tracking.lock", "mlflow.db"]


def _tables(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0])
    except sqlite3.OperationalError:  # locked by its maker
        return 0


def test_a_server_or_another_database_makes_its_own(tmp_path: Path) -> None:
    for uri in ("http://127.0.0.1:5000", "postgresql://somewhere/mlflow", "sqlite:///:memory:"):
        make_tracking_database(uri, tmp_path)
    assert list(tmp_path.iterdir()) == []
