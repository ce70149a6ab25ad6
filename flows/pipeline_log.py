"""One log per study: its runs, stages and units with their durations, warnings, and failures with their reasons.

Only the flow's process writes it; what a worker has to say stands in the log of its unit.
"""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

LARGEST_BYTES = 2_000_000
"""A larger log is renamed to `.1`, an earlier one to `.2` and so on."""
KEPT = 4
"""Earlier logs that are kept beside the current one."""
_OURS = logging.getLogger("saeflow")
_FLOWS = logging.getLogger("saeflow.flows")
# What speaks of runs, stages and units; of all others, units' own loggers among them, warnings alone are taken.
_TAKEN = ("saeflow.flows", "saeflow.slurm")


def pipeline_log_path(workspace: Path, study: str) -> Path:
    """The log of a study."""
    return workspace / "logs" / "pipeline" / f"{study}.log"


@contextmanager
def pipeline_log(workspace: Path, study: str) -> Iterator[Path]:
    """Write this process's part of the study's log while the block runs."""
    path = pipeline_log_path(workspace, study)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _SharedLog(path, maxBytes=LARGEST_BYTES, backupCount=KEPT, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(_TAKEN))
    before = _FLOWS.level
    _FLOWS.setLevel(logging.INFO)
    _OURS.addHandler(handler)
    try:
        yield path
    finally:
        _OURS.removeHandler(handler)
        _FLOWS.setLevel(before)
        handler.close()


class _SharedLog(RotatingFileHandler):
    """A rotating log that several runs of a study may write at once: each line is written, and the file turned over,
    under a lock, and the file is opened for each line, for another run may have renamed it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; what goes wrong is passed over."""
        with suppress(OSError), Path(f"{self.baseFilename}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().emit(record)
            if self.stream is not None:
                self.stream.close()
                self.stream = None

    def handleError(self, record: logging.LogRecord) -> None:  # logging names it so
        """Do nothing: a full disk is told of by the work itself."""
