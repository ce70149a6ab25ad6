"""What a stage's units run on: threads of this process, worker processes of this machine, or SLURM jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from core.errors import BadInput
from flows.runtime.environment import dask_files, neutral_dask
from flows.runtime.place import Place
from flows.runtime.profiles import LocalProfile, Pool, Profile, SlurmPool, SlurmProfile
from flows.runtime.worker_protocol import OF_DASK, Loss, Workers, stop_units_on

# Units that are there already cost a look each, not work: eight at once show them quickly.
_SHOWN_AT_ONCE = 8


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
