"""Close in MLflow what a kill left open: runs that are shown as going on though the process of their study is gone.

Which studies live is told by their signs of life in the workspace. A server may be shared with studies of other
workspaces, of which nothing is known here: there only those whose sign of life has ended are closed.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput
from flows.runtime.settings import Settings
from tasks.experiment import database_file, mlflow_errors_in_a_line
from tasks.lease import live_mark, read_lease
from tasks.left_open import close_left_open

# A sign of life whose run this store does not know, for it is another store's, is kept this long.
_KEPT_S = 30 * 24 * 3600.0


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """Alone among the studies of this workspace: one would close the runs of another that is not marked alive yet."""
    with (settings.workspace.root / ".tracking.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def close_left_in_mlflow(settings: Settings) -> list[str]:
    """Mark KILLED what killed studies of this workspace left open, within `one_at_a_time`; a line per study."""
    marks = [path for path in live_mark(settings.workspace.root, "any").parent.glob("*") if "." not in path.name]
    alive = {path.name for path in marks if read_lease(path) is not None}
    dead = {path.name: path for path in marks if path.name not in alive}
    database = database_file(settings.tracking_uri)
    own = database == settings.workspace.root / "mlflow.db"
    if (database is not None and not database.exists()) or not (own or dead):
        return []
    closed = close_left_open(settings.tracking_uri, alive if own else None, dead)
    for run, mark in dead.items():
        if own or run in closed or _is_old(mark):
            mark.unlink(missing_ok=True)
    gone = "was left Running in MLflow and its process is gone: closed as KILLED"
    return [f"{study} {gone}" for study in closed.values()]


def try_to_close_in_mlflow(settings: Settings) -> list[str]:
    """`close_left_in_mlflow`, where a store that does not answer ends nothing: it is asked again at the next start."""
    try:
        with mlflow_errors_in_a_line(settings.tracking_uri), one_at_a_time(settings):
            return close_left_in_mlflow(settings)
    except BadInput as error:
        return [f"MLflow could not be asked for what a killed process left running: {error}"]


def _is_old(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime > _KEPT_S
    except OSError:
        return False
