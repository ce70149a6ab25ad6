"""The explorer as a part of `saeflow serve`: a child that is told of when it fails, and takes nothing down with it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cli.children import start, stop
from cli.servers import check_port
from cli.terminal import console, warn
from core.errors import BadInput


class Beside:
    """The explorer of a `saeflow serve`; null, with the reason told, where it could not be started."""

    def __init__(self, child: "subprocess.Popen[bytes] | None", url: str, log: Path) -> None:
        self._child, self._url, self._log = child, url, log

    @property
    def url(self) -> str | None:
        """Its address; null where it does not run."""
        return self._url if self._child is not None and self._child.poll() is None else None

    def tell(self) -> None:
        """Print where it answers."""
        if self.url:
            console.print(f"[green]✓[/green] explorer {self.url}")

    def tell_if_ended(self) -> None:
        """Say once that it ended; the others go on."""
        if self._child is not None and self._child.poll() is not None:
            warn([f"the explorer ended with code {self._child.returncode} (its log is {self._log}); the rest goes on"])
            self._child = None


@contextmanager
def explorer_beside(port: int, environment: Mapping[str, str], logs: Path) -> Iterator[Beside]:
    """The explorer of this workspace for the block, on loopback; none at port 0, or where the port is taken."""
    url, log = f"http://127.0.0.1:{port}", logs / "explorer.log"
    child = _started(port, environment, log) if port else None
    try:
        yield Beside(child, url, log)
    finally:
        if child is not None:
            stop(child)


def _started(port: int, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes] | None":
    try:
        check_port(port, "explorer", "--explorer-port")
    except BadInput as error:
        warn([f"{error}; the rest starts without it"])
        return None
    return start([sys.executable, "-m", "cli", "explore", "--port", str(port)], environment, log)
