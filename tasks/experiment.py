"""Whether MLflow can take a study's runs: its database, the experiment and the experiment's folder.

Asked before anything is computed: MLflow itself would refuse only once the study is under way.
"""

import os
import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from core.errors import BadInput
from core.store.databases import damage_of

if TYPE_CHECKING:  # seconds, which looking at a database need not pay
    from mlflow.entities import Experiment

_ANOTHER = "--set tracking.experiment=NAME"
_ELSEWHERE = "SAEFLOW_TRACKING_URI=sqlite:////FOLDER/mlflow.db keeps the runs elsewhere"
# A folder that MLflow has not made yet lies at most this deep in one that is there: WORKSPACE/mlartifacts/EXPERIMENT.
_NOT_MADE_YET = 2


def check_experiment(tracking_uri: str, name: str) -> None:
    """Make sure that runs can be added to an experiment, or that it can be made.

    Raises:
        BadInput: the database is not MLflow's or of another version, the experiment was deleted, or the folder of its
            files is gone; the message names the experiment and the fix.
    """
    from mlflow import MlflowClient

    if not name.strip():
        raise BadInput("tracking.experiment: it is empty; give MLflow's experiment a name")
    check_database(tracking_uri)
    with mlflow_errors_in_a_line(tracking_uri):
        database = database_file(tracking_uri)
        if database is not None and not database.exists():
            return
        found = MlflowClient(tracking_uri=tracking_uri).get_experiment_by_name(name)
    if found is None:
        return
    if found.lifecycle_stage != "active":
        raise BadInput(_deleted(found, tracking_uri))
    _check_folder(found)


def check_database(tracking_uri: str) -> None:
    """Make sure that a SQLite database, where it is there, is one that the installed MLflow can read.

    Raises:
        BadInput: it is not.
    """
    with mlflow_errors_in_a_line(tracking_uri):
        path = database_file(tracking_uri)
    if path is None or not path.exists():
        return
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        raise BadInput(f"MLflow's database {path}: it is no file that can be written to; {_ELSEWHERE}")
    try:
        revision = _revision(path)
    except sqlite3.OperationalError:  # locked for a moment
        return
    except sqlite3.DatabaseError as error:
        raise BadInput(f"MLflow's database {path}: {error}; move it away, or {_ELSEWHERE}") from error
    if damage := damage_of(path):
        raise BadInput(f"MLflow's database {path} is damaged ({damage}); move it away, or {_ELSEWHERE}")
    if revision is not None and not _is_known(revision):
        raise BadInput(_of_a_newer_mlflow(str(path), revision))


@contextmanager
def mlflow_errors_in_a_line(tracking_uri: str) -> Iterator[None]:
    """Turn MLflow's errors into one line that names the server or database."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _errors_of_mlflow()):
            raise
        found = re.search(r"(?:found version|identified by) '?(\w+)", str(error))
        if found and not _is_known(found[1]):
            raise BadInput(_of_a_newer_mlflow(tracking_uri, found[1])) from error
        words = f"MLflow at {tracking_uri}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        raise BadInput(f"{words}; SAEFLOW_TRACKING_URI says where MLflow is; run again to continue") from error


def _errors_of_mlflow() -> tuple[type[Exception], ...]:
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, ImportError


def _deleted(found: "Experiment", tracking_uri: str) -> str:
    mlflow = shlex.quote(str(Path(sys.executable).with_name("mlflow")))
    command = f"{mlflow} experiments restore --experiment-id {found.experiment_id}"
    return (
        f"tracking.experiment: {found.name!r} (id {found.experiment_id}) was deleted in MLflow; bring it back with "
        f"`MLFLOW_TRACKING_URI={shlex.quote(tracking_uri)} {command}`, or choose another: {_ANOTHER}"
    )


def _check_folder(found: "Experiment") -> None:
    place = _folder(str(found.artifact_location))
    if place is None:
        return
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if there not in (place, *place.parents[:_NOT_MADE_YET]):
        raise BadInput(
            f"tracking.experiment: {found.name!r} keeps its files in {place}, and {place.parents[_NOT_MADE_YET - 1]} "
            f"is gone (was the workspace moved?); put it back, or choose another experiment: {_ANOTHER}"
        )
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(
            f"tracking.experiment: {found.name!r} keeps its files in {place}, and {there} is no folder that can be "
            f"written to; make it writable, or choose another experiment: {_ANOTHER}"
        )


def _folder(location: str) -> Path | None:
    """The folder that an artifact location means, null where it is no folder of this machine."""
    url = urlsplit(location)
    if url.scheme not in ("", "file"):
        return None
    return Path(unquote(url.path) if url.scheme else location)


def database_file(tracking_uri: str) -> Path | None:
    """The SQLite database that an MLflow URI names, there or not; null for any other store."""
    if not tracking_uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(tracking_uri).database
    return Path(name) if name and name != ":memory:" else None


def _revision(path: Path) -> str | None:
    """The schema's version; null where the file is still empty."""
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
        tables = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
        if tables and "alembic_version" not in tables:
            raise sqlite3.DatabaseError("it was not made by MLflow")
        found = database.execute("select version_num from alembic_version").fetchone() if tables else None
    return str(found[0]) if found else None


def _is_known(revision: str) -> bool:
    mlflow = find_spec("mlflow")
    assert mlflow is not None and mlflow.origin is not None
    migrations = Path(mlflow.origin).parent / "store" / "db_migrations" / "versions"
    return any(entry.name.startswith(f"{revision}_") for entry in migrations.iterdir())


def _of_a_newer_mlflow(what: str, revision: str) -> str:
    return (
        f"MLflow's database {what}: its schema {revision} is of a newer MLflow than the installed {version('mlflow')}; "
        f"install that one, or {_ELSEWHERE}"
    )
