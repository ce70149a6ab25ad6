"""One Prefect server for all processes of a test session: the first that needs it starts it, and it ends with pytest.

python -m tests.prefect_for_all FOLDER PID    serves over FOLDER until the process PID has ended
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cli import servers
from core.store.workspace import Workspace
from flows.runtime.settings import Settings
from tests.databases import CopyDatabases

_START_LIMIT_S = 120.0


def shared_server(folder: Path, copy_databases: CopyDatabases) -> tuple[Path, str]:
    """The workspace and the API of the server that all processes share; `folder` is theirs."""
    folder.mkdir(exist_ok=True)
    root, note = folder / "workspace", folder / "api"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            copy_databases(root)
            # pytest-xdist's processes are children of the one that ends last.
            pid = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            words = [sys.executable, "-m", "tests.prefect_for_all", str(folder), str(pid)]
            with (folder / "log").open("ab") as log:  # not a Popen: it outlives this process, which would warn of it
                told = [(os.POSIX_SPAWN_DUP2, log.fileno(), number) for number in (1, 2)]
                os.posix_spawn(sys.executable, words, os.environ, file_actions=told, setsid=True)
            deadline = time.monotonic() + _START_LIMIT_S
            while not note.exists():
                assert time.monotonic() < deadline, (folder / "log").read_text("utf-8", "replace")
                time.sleep(0.2)
    return root, note.read_text("utf-8")


@contextmanager
def reporting_to(root: Path, api: str) -> Iterator[str]:
    """This process's flows and tasks report to the server for the block."""
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    before = dict(os.environ)
    try:
        servers.adopt(_settings(root), None)
        os.environ["PREFECT_API_URL"] = api
        del os.environ["SAEFLOW_WORKSPACE"], os.environ["PYTHONSAFEPATH"]  # the server's, not the tests' processes'
        with temporary_settings({PREFECT_API_URL: api, PREFECT_HOME: root / "prefect"}):
            yield api
            APILogWorker.drain_all(timeout=5)  # lines left over would wait for a server that is gone
    finally:
        os.environ.clear()
        os.environ.update(before)


def _settings(root: Path) -> Settings:
    return Settings(Workspace(root), "", "")


def main() -> None:
    """Serve until the tests have ended, however they end."""
    folder, pid = Path(sys.argv[1]), int(sys.argv[2])
    with servers.prefect_api(_settings(folder / "workspace")) as api:
        note = folder / ".api"
        note.write_text(api, "utf-8")
        note.replace(folder / "api")
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)


if __name__ == "__main__":
    main()
