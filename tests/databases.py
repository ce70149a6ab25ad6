"""The databases of a workspace in which nothing has run: made once a session, copied where a test needs no first start.

Prefect and MLflow take 15 s for theirs on two cores; tests/start_servers.py, the mini study and the killed one make
their own.
"""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from cli.servers import quiet_environment
from core.workspace import Workspace
from flows.settings import Settings
from tasks.tracking_database import sqlite_url

_FILES = ("prefect/prefect.db", "mlflow.db")
_shared: list[Path] = []


def share(folder: Path) -> None:
    """Keep the databases below this folder, which all processes of the session know."""
    _shared[:] = [folder / "databases"]


def copy_databases(workspace: Path) -> None:
    """Give a workspace the databases that its first run would make."""
    if not _shared:
        return
    made = _made(_shared[0])
    for name in _FILES:
        if not (workspace / name).exists():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made / name, workspace / name)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            settings = Settings(Workspace(folder), sqlite_url("sqlite", folder / "mlflow.db"), "")
            upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
            subprocess.run(upgrade, env=quiet_environment(settings), check=True, capture_output=True)
            made = f"make_tracking_database({settings.tracking_uri!r}, Path({str(folder / 'mlartifacts')!r}))"
            words = f"from pathlib import Path; from tasks.tracking_database import make_tracking_database; {made}"
            subprocess.run([sys.executable, "-c", words], check=True, capture_output=True)  # it warns
            (folder / "whole").touch()
    return folder
