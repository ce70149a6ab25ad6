"""Which study runs go on now: a heartbeat file per Prefect flow run, which a killed process leaves behind."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.lease import Lease, lives, own_lease, sign_of_life

_FOLDER = "running"


@dataclass
class RunMark(Lease):
    """The process of a study run, with the run's id and address in Prefect; `ended` is when the run did (Unix time),
    zero before."""

    flow_run: str = ""
    name: str = ""
    page: str = ""
    ended: float = 0.0

    @property
    def where(self) -> str:
        """`process 4242 on login1`, or its SLURM job."""
        return f"job {self.job} on {self.host}" if self.job else f"process {self.pid} on {self.host}"


def mark_path(workspace: Path, flow_run: str) -> Path:
    """The heartbeat file of a flow run."""
    return workspace / _FOLDER / f"{flow_run}.json"


@contextmanager
def running(workspace: Path, flow_run: str, name: str, page: str) -> Iterator[None]:
    """A sign of life of this flow run while the block runs.

    Its file stays: whether Prefect has heard how the run ended is not known yet, and is looked up at the next start.
    """
    mark = RunMark(**asdict(own_lease()), flow_run=flow_run, name=name, page=page)
    path = mark_path(workspace, flow_run)
    try:
        with sign_of_life(path, mark):
            yield
    finally:
        mark.ended = time.time()
        with suppress(OSError):
            path.write_text(json.dumps(asdict(mark)), encoding="utf-8")


def read_marks(workspace: Path) -> Iterator[tuple[RunMark, bool]]:
    """The study runs of a workspace that Prefect may still show as going on, and whether their process lives."""
    for path in sorted((workspace / _FOLDER).glob("*.json")):
        try:
            mark = RunMark(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        yield mark, lives(mark, path)


def forget_mark(workspace: Path, flow_run: str) -> None:
    """Remove the sign of life of a run whose process is gone."""
    path = mark_path(workspace, flow_run)
    for left in (path, *path.parent.glob(f"{path.name}.beat-*")):
        left.unlink(missing_ok=True)


def serving(workspace: Path) -> AbstractContextManager[None]:
    """A sign of life of the process that starts the deployments' runs, while the block runs."""
    lease = own_lease()
    return sign_of_life(workspace / _FOLDER / f"{lease.host}-{os.getpid()}.serving", lease)


def is_served(workspace: Path) -> bool:
    """Whether a process lives that starts the runs of this workspace's deployments; forgets dead ones."""
    served = False
    for path in (workspace / _FOLDER).glob("*.serving"):
        try:
            alive = lives(Lease(**json.loads(path.read_text(encoding="utf-8"))), path)
        except (OSError, ValueError, TypeError):
            continue
        served |= alive
        if not alive:
            path.unlink(missing_ok=True)
    return served
