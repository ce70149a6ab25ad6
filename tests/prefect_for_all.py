"""One real Prefect server for all processes of a test session: the first that needs it starts it."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from cli import servers
from core.store.workspace import Workspace
from flows.runtime.settings import PROJECT, Settings
from tests.databases import CopyDatabases

_LIMIT_S = 180


def started(folder: Path, copy_databases: CopyDatabases) -> str:
    """The API of the server whose workspace is `folder`; it ends after this test session."""
    note, log = folder / "api", folder / "server.log"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            copy_databases(folder)
            session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            command = [sys.executable, "-m", "tests.prefect_for_all", str(folder), str(session)]
            with log.open("w") as out:
                child = subprocess.Popen(command, cwd=PROJECT, stdout=out, stderr=out, start_new_session=True)
            deadline = time.monotonic() + _LIMIT_S
            while not note.exists():
                assert child.poll() is None and time.monotonic() < deadline, log.read_text("utf-8")
                time.sleep(0.2)
    return note.read_text("utf-8")


def main(folder: Path, session: int) -> None:
    """Serve until the process `session` has ended."""
    with servers.prefect_api(Settings(Workspace(folder), "", "")) as api:
        written = folder / "api.part"
        written.write_text(api, encoding="utf-8")
        written.rename(folder / "api")
        while Path(f"/proc/{session}").exists():
            time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
