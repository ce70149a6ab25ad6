"""Workers of one stage as SLURM jobs: as many as there is work, told apart when they are lost.

dask-jobqueue gives the scheduler, its TLS and the job script; the jobs are handed in from here. Its own scaling never
notices a job that ends before its worker has called, takes a full queue for an error, and keeps sbatch's words.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from core.errors import BadInput
from flows.runtime.worker_protocol import OF_DASK, Loss, WorkersGone, stop_units_on
from flows.slurm import commands
from flows.slurm.job import JobOrder, job_script, open_cluster
from flows.slurm.jobs import Jobs

_log = logging.getLogger("saeflow.slurm")
# SLURM is asked often while jobs start or end, seldom while all work: its controller serves a whole university.
LOOK_EVERY_S = 3.0
LOOK_SELDOM_S = 20.0
# Where three workers in a row end before they call, the fourth would too.
STILLBORN = 3
# What SLURM writes into a job's .err where its state tells only that it was killed.
_MEMORY = re.compile(r"oom.?kill|exceeded .*memory limit", re.IGNORECASE)


@contextmanager
def slurm_workers(order: JobOrder, say: Callable[[str], None]) -> "Iterator[SlurmWorkers]":
    """The workers of a stage; their jobs end with the block, whatever ends it.

    Raises:
        BadInput: SLURM refuses the job, in its own words, before anything waits.
    """
    with dask.config.set(OF_DASK), open_cluster(order) as cluster:
        script = job_script(cluster)
        commands.would_start(script)
        with Client(cluster, set_as_default=False) as client:
            workers = SlurmWorkers(Jobs(order, script), cluster, client, say)
            try:
                yield workers
            finally:
                workers.close()


class SlurmWorkers:
    """The workers of one stage, one per job, named after it."""

    def __init__(self, jobs: Jobs, cluster: Any, client: Client, say: Callable[[str], None]) -> None:
        self._jobs, self._cluster, self._client, self._say = jobs, cluster, client, say
        self._order = jobs.order
        self._looked = -LOOK_SELDOM_S
        self._seen: tuple[int, frozenset[str]] = (0, frozenset())
        self._alive = time.monotonic()
        self._silent_from: float | None = None  # the first look of those that nothing answered
        self._note = ""

    @property
    def runner(self) -> TaskRunner[Any]:
        """What a stage's flow runs on."""
        options = {"security": self._cluster.security}
        runner: TaskRunner[Any] = DaskTaskRunner(address=self._cluster.scheduler_address, client_kwargs=options)
        return runner

    def tend(self, left: int) -> None:
        """Look after the jobs, with `left` units to make; a controller that does not answer is waited for.

        Raises:
            WorkersGone: nothing works or waits any more, workers end as soon as they start, or SLURM is silent.
        """
        busy = {str(worker.name): bool(worker.processing) for worker in list(self._cluster.scheduler.workers.values())}
        now = time.monotonic()
        seen = (left, frozenset(busy))
        crew = {job.job_id for job in self._jobs.crew}
        settled = seen == self._seen and bool(crew) and crew <= busy.keys()
        if now - self._looked < (LOOK_SELDOM_S if settled else LOOK_EVERY_S):
            return
        self._looked, self._seen = now, seen
        try:
            self._look_after(left, busy)
            self._silent_from = None
        except BadInput as error:
            self._silent_from, self._alive = self._silent_from or now, now
            silent = now - self._silent_from
            _log.warning("SLURM: %s", error)
            if silent > self._order.profile.give_up_after_s:
                raise WorkersGone(f"SLURM has refused or not answered for {silent:.0f} s: {error}") from error

    def _look_after(self, left: int, busy: dict[str, bool]) -> None:
        jobs = self._jobs
        jobs.look(set(busy))
        self._give_up()
        wanted = min(max(left, self._order.pool.min_workers), self._order.pool.workers)
        jobs.hand_in(wanted)
        excess = len(jobs.crew) - wanted
        if excess > 0:
            self._release_idle(busy, excess - jobs.let_go_waiting(excess))
        self._tell(wanted)

    def _give_up(self) -> None:
        jobs, now = self._jobs, time.monotonic()
        if len(jobs.stillborn) >= STILLBORN:
            raise WorkersGone(self._last_words(f"{len(jobs.stillborn)} workers in a row ended before they could begin"))
        if jobs.living or jobs.full:
            self._alive = now
        elif now - self._alive > self._order.profile.give_up_after_s:
            raise WorkersGone(self._last_words(f"no worker has lived or waited for {now - self._alive:.0f} s"))

    def _release_idle(self, busy: dict[str, bool], count: int) -> None:
        idle = [job.job_id for job in self._jobs.crew if busy.get(job.job_id) is False][: max(count, 0)]
        if idle:
            self._client.retire_workers(names=idle, close_workers=True)
            self._jobs.released |= set(idle)

    def _tell(self, wanted: int) -> None:
        crew = self._jobs.crew
        waits = bool(self._jobs.full) or any(job.waits for job in crew)
        waiting = f"waiting for {wanted} workers: " if waits else ""
        note = f"{self._order.place.stage}: {waiting}{commands.told_shortly(crew)}"
        note += f"; {self._jobs.full}" if self._jobs.full else ""
        if note != self._note:
            self._note = note
            _log.info(note)
            self._say(note)

    def loss(self, job_id: str | None) -> Loss:
        """What became of a job that took a unit with it; one that lives on without its worker is ended."""
        if job_id is None:
            return Loss("", "its worker was lost")
        job = None
        with suppress(BadInput):
            job = self._jobs.end(job_id)
        if job is None:
            return Loss(job_id, f"job {job_id} was lost", free=job_id in self._jobs.released)
        tail = self._jobs.error_tail(job_id)
        memory = job.state == "OUT_OF_MEMORY" or bool(_MEMORY.search(tail))
        reasons = {
            "TIMEOUT": f"reached its walltime ({self._order.pool.walltime})",
            "OUT_OF_MEMORY": f"ran out of memory ({self._order.pool.memory})",
            "NODE_FAIL": "its node failed",
            "CANCELLED": "was cancelled",
        }
        why = reasons.get("OUT_OF_MEMORY" if memory else job.state, f"ended as {job.state} {job.reason}".strip())
        words = f"job {job_id} on {job.node or '?'} {why} ({self._jobs.error_file(job_id)})"
        return Loss(job_id, words, memory, not job.alive, job_id in self._jobs.released, tail)

    def retire(self, job_id: str) -> None:
        """Let go of a job that nears its walltime; a unit that was just sent there loses no attempt."""
        self._jobs.released.add(job_id)
        with suppress(Exception):  # it may be gone already
            self._client.retire_workers(names=[job_id], close_workers=True)
        commands.cancel([job_id])

    def stop(self) -> None:
        """Ask the units under way to write their checkpoints and end; returns when they have, or after a while."""
        stop_units_on(self._client, self._cluster)

    def close(self) -> None:
        """End every job."""
        self._jobs.close()

    def _last_words(self, what: str) -> str:
        last = self._jobs.last
        if last is None:
            return what
        file, tail = self._jobs.error_file(last.job_id), self._jobs.error_tail(last.job_id)
        return f"{what}; the last was job {last.job_id} ({last.state}). The end of {file}:\n{tail}"
