"""The databases of a workspace in which nothing has run: made once a session, copied where a test needs no first start.

The mini study makes its own.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cli.servers import quiet_environment
from core.store.workspace import Workspace
from flows.runtime.settings import Settings
from tasks.tracking_database import sqlite_url

CopyDatabases = Callable[[Path], None]
_FILES = ("prefect/prefect.db", "mlflow.db")


def copy_from(folder: Path, workspace: Path) -> None:
    """Give a workspace the databases that its first run would make; `folder` holds them for all processes."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            _make(folder)
    for name in _FILES:
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, workspace / name)


def linked_copy(done: Path, workspace: Path, copy_databases: CopyDatabases) -> None:
    """Give a workspace what was made in another, as links, and databases in which nothing has run."""
    for name in ("artifacts", "studies", "reports"):
        shutil.copytree(done / name, workspace / name, symlinks=True, copy_function=os.link)
    copy_databases(workspace)


def _make(folder: Path) -> None:
    settings = Settings(Workspace(folder), sqlite_url("sqlite", folder / "mlflow.db"), "")
    upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    subprocess.run(upgrade, env=quiet_environment(settings), check=True, capture_output=True)
    made = f"make_tracking_database({settings.tracking_uri!r}, Path({str(folder / 'mlartifacts')!r}))"
    words = f"from pathlib import Path; from tasks.tracking_database import make_tracking_database; {made}"
    subprocess.run([sys.executable, "-c", words], check=True, capture_output=True)  # it warns
    (folder / "whole").touch()
