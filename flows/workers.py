"""What a stage's units run on: threads of this process, worker processes of this machine, or SLURM jobs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from core.errors import BadInput
from flows.environment import dask_files, neutral_dask
from flows.place import Place
from flows.profiles import LocalProfile, Pool, Profile, SlurmPool, SlurmProfile
from tasks.step import STOPPING

# Units that are there already cost a look each, not work: eight at once show them quickly.
_SHOWN_AT_ONCE = 8
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


@dataclass(frozen=True)
class _Here:
    """Workers of this machine, which nobody needs to look after."""

    runner: TaskRunner[Any]
    ask_to_stop: Callable[[], None] = lambda: None

    def tend(self, left: int) -> None:
        """Nothing to do."""

    def loss(self, job_id: str | None) -> Loss:
        """A process of this machine that ended."""
        return Loss("", "its worker process was lost")

    def retire(self, job_id: str) -> None:
        """Nothing to do: no walltime here."""

    def stop(self) -> None:
        """Ask worker processes; threads of this process share its own sign."""
        self.ask_to_stop()


@contextmanager
def open_workers(
    profile: Profile, pool: Pool, place: Place, missing: int, say: Callable[[str], None]
) -> Iterator[Workers]:
    """The workers for `missing` units; none missing starts none.

    Raises:
        BadInput: SLURM refuses, or the user's Dask configuration keeps Dask from starting.
    """
    if missing and profile.kind != "threads":
        neutral_dask()  # before anything of Dask's is imported
    if missing == 0 or profile.kind == "threads":
        yield _Here(ThreadPoolTaskRunner(max_workers=pool.workers if missing else _SHOWN_AT_ONCE))
    elif isinstance(profile, LocalProfile):
        with _local_workers(min(pool.workers, missing)) as workers:
            yield workers
    else:
        from flows.slurm.job import JobOrder
        from flows.slurm.workers import slurm_workers

        assert isinstance(profile, SlurmProfile) and isinstance(pool, SlurmPool)
        with slurm_workers(JobOrder(place, profile, pool), say) as workers:
            yield workers


@contextmanager
def _local_workers(count: int) -> Iterator[Workers]:
    import dask
    from distributed import Client
    from prefect_dask import DaskTaskRunner

    with dask.config.set(OF_DASK), _started(count) as cluster:

        def ask_to_stop() -> None:
            with Client(cluster, set_as_default=False) as client:
                stop_units_on(client, cluster)

        options = {"security": cluster.security}
        yield _Here(DaskTaskRunner(address=cluster.scheduler_address, client_kwargs=options), ask_to_stop)


def _started(count: int) -> Any:
    """Worker processes that speak TLS with certificates of their own, which are never written down: what Dask is sent
    it unpickles, and other users of this machine reach its ports."""
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            security=True,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        )
    except RuntimeError as error:  # a process that starts imports Dask before it is told to look away from these files
        files = ", ".join(map(str, dask_files()))
        read = f"; Dask reads {files} as it is imported: correct them or move them away" if files else ""
        raise BadInput(f"the worker processes of this machine do not start: {error}{read}") from error


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
