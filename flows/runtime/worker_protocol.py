"""What the workers of one stage are to the flow, wherever they run."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.task_runners import TaskRunner

from tasks.step import STOPPING

# Time for units to write their checkpoints after a cancel, before their workers are ended: of 30 s in all.
GRACE_S = 10.0
OF_DASK: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Settings of Dask's clusters: a lost unit comes back at once, as lost, instead of being sent again unseen; and none of
Dask's own pages, which would be open to every user of the machine."""


class WorkersGone(RuntimeError):
    """No worker is left, and none will come; the message says why."""


@dataclass(frozen=True)
class Loss:
    """Why a worker took a unit with it, in words; whether more memory might help, whether it surely ended, whether it
    was let go by us and so costs the unit no attempt, and the last lines it wrote."""

    job: str
    reason: str
    out_of_memory: bool = False
    ended: bool = False
    free: bool = False
    tail: str = ""


class Workers(Protocol):
    """The workers of one stage."""

    @property
    def runner(self) -> TaskRunner[Any]:
        """What the stage's flow runs on."""

    def tend(self, left: int) -> None:
        """Look after the workers, with `left` units to make; raises `WorkersGone`."""

    def loss(self, job_id: str | None) -> Loss:
        """What became of the worker that ran in a job."""

    def retire(self, job_id: str) -> None:
        """Let go of a worker that is about to end."""

    def stop(self) -> None:
        """Ask the units under way to write their checkpoints and end."""


def stop_units_on(client: Any, cluster: Any) -> None:
    """Ask the units on a Dask cluster's workers to write their checkpoints and end; returns when they have, or after
    ten seconds."""

    def ask_and_wait() -> None:
        with suppress(Exception):  # workers that are gone need no asking
            client.run(_stop_units, wait=False, on_error="ignore")
            while any(worker.processing for worker in list(cluster.scheduler.workers.values())):
                time.sleep(0.2)

    asking = threading.Thread(target=ask_and_wait, daemon=True)  # a worker out of reach would hold it up
    asking.start()
    asking.join(GRACE_S)


async def _stop_units() -> None:
    """Run on a worker: its units end at their next sign of progress, and keep their checkpoints. A coroutine, for a
    plain function would wait behind the unit that it is to end."""
    STOPPING.set()
