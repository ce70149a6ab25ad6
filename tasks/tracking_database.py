"""MLflow's SQLite database: made whole or not at all."""

import fcntl
import logging
import shutil
from pathlib import Path


def sqlite_url(dialect: str, path: Path) -> str:
    """The URL of a SQLite database: SQLAlchemy takes `?` for the start of options, and decodes `%41`."""
    quoted = str(path).replace("%", "%25").replace("?", "%3F")
    if dialect == "sqlite" and quoted != str(path):
        dialect = "sqlite+pysqlite"  # the same; below plain `sqlite` MLflow makes a folder of the quoted name
    return f"{dialect}:///{quoted}"


def make_tracking_database(uri: str, artifact_root: Path) -> None:
    """Make the SQLite database that `uri` names, where it is not there yet; any other store makes its own.

    MLflow makes its tables one by one over seconds, and cannot go on with a database in which a kill left some of
    them: ours is made in a folder beside its place and moved there when done.
    """
    from sqlalchemy.engine import make_url

    url = make_url(uri) if uri.startswith("sqlite") else None
    if url is None or url.database in (None, "", ":memory:") or (place := Path(str(url.database))).exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # seconds, which others need not pay

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table's making
    place.parent.mkdir(parents=True, exist_ok=True)
    making = place.with_name(f".{place.name}.making")
    with place.with_name(".tracking.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        store = SqlAlchemyStore(sqlite_url("sqlite", making / place.name), artifact_root.as_uri())
        store.engine.dispose()
        (making / place.name).replace(place)
        shutil.rmtree(making)
