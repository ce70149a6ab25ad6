"""Workers of one stage as SLURM jobs: handed in, counted, let go, and told apart when they are lost.

dask-jobqueue gives the scheduler, its TLS and the job script; the jobs are handed in from here. Its own scaling never
notices a job that ends before its worker has called, takes a full queue for an error, and keeps sbatch's words.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from core import ledger
from core.errors import BadInput
from flows.slurm import commands
from flows.slurm.commands import Job, QueueFull
from flows.slurm.job import JobOrder, job_script, open_cluster
from flows.workers import Loss, WorkersGone, stop_units

_log = logging.getLogger("saeflow.slurm")
LOOK_EVERY_S = 3.0
# Where three workers in a row end before they call, the fourth would too.
STILLBORN = 3
TAIL_LINES = 15
# What SLURM writes into a job's .err where its state tells only that it was killed.
_MEMORY = re.compile(r"oom.?kill|exceeded .*memory limit|out of memory", re.IGNORECASE)
# Time for units to write their checkpoints after a cancel, and for logs to reach Prefect, before jobs are cancelled.
GRACE_S = 10.0


@contextmanager
def slurm_workers(order: JobOrder, say: Callable[[str], None]) -> "Iterator[SlurmWorkers]":
    """The workers of a stage; their jobs end with the block, whatever ends it.

    Raises:
        BadInput: SLURM refuses the job, in its own words, before anything waits.
    """
    # A lost unit comes back at once, as lost, instead of being sent again unseen.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), open_cluster(order) as cluster:
        script = job_script(cluster)
        commands.would_start(script)
        with Client(cluster, set_as_default=False) as client:
            workers = SlurmWorkers(order, cluster, client, script, say)
            try:
                yield workers
            except BaseException:
                workers.stop_units()
                raise
            finally:
                workers.close()


class SlurmWorkers:
    """The jobs of one stage."""

    def __init__(self, order: JobOrder, cluster: Any, client: Client, script: str, say: Callable[[str], None]) -> None:
        self._order, self._cluster, self._client, self._script, self._say = order, cluster, client, script, say
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, Job] = {}
        self._called: set[str] = set()
        self._stillborn: list[str] = []
        self._leaving: list[str] = []
        self._looked, self._alive = 0.0, time.monotonic()
        self._full = self._note = ""
        self._wanted = 0

    @property
    def runner(self) -> TaskRunner[Any]:
        """What a stage's flow runs on."""
        security = self._cluster.security if not self._order.private else None
        options = {"security": security} if security is not None else {}
        runner: TaskRunner[Any] = DaskTaskRunner(address=self._cluster.scheduler_address, client_kwargs=options)
        return runner

    def tend(self, left: int) -> None:
        """Look after the jobs, with `left` units to make.

        Raises:
            WorkersGone: nothing works or waits any more, or workers end as soon as they start.
        """
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._look()
        self._looked = time.monotonic()
        wanted = min(max(left, self._order.pool.min_workers), self._order.pool.workers)
        self._wanted = wanted
        self._grow(wanted)
        self._shrink(wanted, left)
        self._tell()
        self._give_up()

    def loss(self, job_id: str | None) -> Loss:
        """What became of a job that took a unit with it."""
        job = self._wait_for_end(job_id, time.monotonic() + GRACE_S) if job_id else None
        if job is None:
            return Loss(job_id or "", "its worker was lost")
        where = f"job {job.job_id} on {job.node or '?'}"
        reasons = {
            "TIMEOUT": f"reached its walltime ({self._order.pool.walltime})",
            "OUT_OF_MEMORY": f"ran out of memory ({self._order.pool.memory})",
            "NODE_FAIL": "its node failed",
            "CANCELLED": "was cancelled",
        }
        ended = reasons.get(job.state, f"ended as {job.state} {job.reason}".strip())
        killed_for_memory = job.state == "OUT_OF_MEMORY" or bool(_MEMORY.search(self.error_tail(job.job_id)))
        words = reasons["OUT_OF_MEMORY"] if killed_for_memory else ended
        return Loss(job.job_id, f"{where} {words}", killed_for_memory, not job.alive, self.error_tail(job.job_id))

    def retire(self, job_id: str) -> None:
        """Let go of a job that nears its walltime, so that nothing more is sent there."""
        commands.cancel([job_id])
        self._wait_for_end(job_id, time.monotonic() + GRACE_S)

    def error_tail(self, job_id: str) -> str:
        """The end of a job's .err file; empty where there is none."""
        with suppress(OSError):
            lines = self.error_file(job_id).read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(lines[-TAIL_LINES:])
        return ""

    def error_file(self, job_id: str) -> Path:
        """A job's .err file."""
        return self._order.log_folder / f"{self._order.name}-{job_id}.err"

    def stop_units(self) -> None:
        """Ask the units under way to write their checkpoints and end."""
        with suppress(Exception):  # workers that are gone need no asking
            self._client.run(stop_units, wait=False)
            deadline = time.monotonic() + GRACE_S
            while time.monotonic() < deadline and any(self._client.processing().values()):
                time.sleep(0.5)

    def close(self) -> None:
        """End every job."""
        with suppress(Exception):
            self._client.retire_workers(close_workers=True)
        commands.cancel(self._jobs)
        deadline = time.monotonic() + GRACE_S
        for job_id in (*self._leaving, *self._jobs):
            self._wait_for_end(job_id, deadline)
            self._account(job_id)

    def _account(self, job_id: str) -> None:
        """Write down what a job held; a controller that does not answer must not end a study."""
        with suppress(BadInput, OSError):
            spent = commands.cost(job_id, self._order.flow_run, self._order.stage)
            ledger.enter(ledger.ledger_path(self._order.workspace, self._order.study), [spent] if spent else [])

    def _look(self) -> None:
        known = {job.job_id: job for job in commands.my_jobs(self._order.name) if job.job_id in self._jobs}
        here = {str(worker["name"]) for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()}
        self._called |= here & set(self._jobs)
        for job_id in [name for name in self._jobs if name not in known]:
            self._bury(job_id)
        self._jobs.update(known)
        if self._jobs:
            self._alive = time.monotonic()

    def _bury(self, job_id: str) -> None:
        last = self._jobs.pop(job_id)
        job = commands.look_up(job_id) or last
        self._ended[job_id] = job
        self._account(job_id)
        if job_id not in self._called:
            self._stillborn.append(job_id)
            _log.warning(
                "job %s ended (%s) before its worker called; see %s", job_id, job.state, self.error_file(job_id)
            )

    def _grow(self, wanted: int) -> None:
        self._full = ""
        for _ in range(wanted - len(self._jobs)):
            cap = self._order.profile.submission_cap
            if cap is not None and len(commands.my_jobs("")) >= cap:
                self._full = f"the submission cap of {cap} jobs is reached"
                return
            try:
                job_id = commands.submit(self._script)
            except QueueFull as full:
                self._full = str(full)
                return
            self._jobs[job_id] = Job(job_id, self._order.name, "PENDING")
            _log.info("job %s is handed in: %s", job_id, self.error_file(job_id).with_suffix(".{out,err}"))

    def _shrink(self, wanted: int, left: int) -> None:
        excess = len(self._jobs) - wanted
        waiting = [job.job_id for job in self._jobs.values() if job.waits][: max(excess, 0)]
        commands.cancel(waiting)
        idle = [str(name) for name in self._idle()][: max(excess - len(waiting), 0)]
        if idle and left < len(self._jobs):
            self._client.retire_workers(names=idle, close_workers=True)
        for job_id in (*waiting, *idle):
            self._called.add(job_id)  # it ends because it was let go
            self._leaving.append(job_id)
            self._ended[job_id] = self._jobs.pop(job_id)

    def _idle(self) -> list[str]:
        busy = {address for address, keys in self._client.processing().items() if keys}
        info = self._client.scheduler_info(n_workers=-1)["workers"]
        return [str(worker["name"]) for address, worker in info.items() if address not in busy]

    def _tell(self) -> None:
        note = f"{self._order.stage}: waiting for {self._wanted} workers: " if self._waits() else ""
        note = f"{note or self._order.stage + ': '}{commands.told_shortly(list(self._jobs.values()))}"
        note += f"; {self._full}" if self._full else ""
        if note != self._note:
            self._note = note
            _log.info(note)
            self._say(note)

    def _waits(self) -> bool:
        return bool(self._full) or any(job.waits for job in self._jobs.values())

    def _give_up(self) -> None:
        if len(self._stillborn) >= STILLBORN and not self._called:
            raise WorkersGone(self._words(f"{len(self._stillborn)} workers ended before they could begin"))
        silent = time.monotonic() - self._alive
        if not self._jobs and silent > self._order.profile.give_up_after_s:
            raise WorkersGone(
                self._words(f"no worker has lived or waited for {silent:.0f} s{': ' if self._full else ''}{self._full}")
            )

    def _words(self, what: str) -> str:
        if not self._ended:
            return what
        last = list(self._ended.values())[-1]
        tail = self.error_tail(last.job_id)
        return (
            f"{what}; the last was job {last.job_id} ({last.state}). The end of {self.error_file(last.job_id)}:\n{tail}"
        )

    def _wait_for_end(self, job_id: str, deadline: float) -> Job | None:
        job = self._ended.get(job_id)
        while job is None or job.alive:
            if time.monotonic() > deadline:
                return job
            job = commands.look_up(job_id)
            if job is None:
                return None
            time.sleep(0.0 if not job.alive else 0.5)
        return job
