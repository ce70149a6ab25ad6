"""The jobs of one stage: handed in, looked at, let go, and what they held written down."""

import logging
import time
from contextlib import suppress
from pathlib import Path

from core.errors import BadInput
from core.store import ledger
from flows.slurm import commands
from flows.slurm.commands import Job, QueueFull
from flows.slurm.job import DEATH_TIMEOUT_S, JobOrder

_log = logging.getLogger("saeflow.slurm")
# A worker that runs and has not called by then cannot: imports from a cold network file system take a minute or two.
CALL_WITHIN_S = 180.0 + DEATH_TIMEOUT_S
# How long the end of a job that was cancelled is waited for.
END_WITHIN_S = 10.0
# A job ends soon after its worker; cancelled before that, it would be shown as cancelled, whatever ended it.
ENDS_BY_ITSELF_S = 3.0
TAIL_LINES = 15


class Jobs:
    """Every job of a stage.

    `living` wait or run; `called` are those whose worker has reached the scheduler; `released` were let go by us;
    `stillborn` ended, one after the other, before their worker called; `full` says why SLURM takes no more now.
    """

    def __init__(self, order: JobOrder, script: str) -> None:
        self.order, self._script = order, script
        self.living: dict[str, Job] = {}
        self.called: set[str] = set()
        self.released: set[str] = set()
        self.stillborn: list[str] = []
        self.full = ""
        self._ended: dict[str, Job] = {}
        self._running_since: dict[str, float] = {}
        self._in_ledger: set[str] = set()
        self._cancelled_waiting: set[str] = set()

    @property
    def crew(self) -> list[Job]:
        """Jobs that count as workers: those that live and were not let go."""
        return [job for job_id, job in self.living.items() if job_id not in self.released]

    @property
    def last(self) -> Job | None:
        """The job that ended last."""
        return next(reversed(self._ended.values()), None)

    def look(self, here: set[str]) -> None:
        """Ask SLURM how the jobs are; `here` are the names of the workers that the scheduler has.

        Raises:
            BadInput: SLURM does not answer.
        """
        known = {job.job_id: job for job in commands.my_jobs(self.order.name)}
        new = (here & set(self.living)) - self.called
        if new:
            self.called |= new
            self.stillborn.clear()
        for job_id in [job_id for job_id in self.living if job_id not in known]:
            self._bury(job_id)
        for job_id in self.living.keys() & known.keys():
            self.living[job_id] = known[job_id]
            self._examine(known[job_id], job_id in here)

    def _examine(self, job: Job, is_here: bool) -> None:
        """Give up a job that runs without a worker."""
        if job.waits:
            return
        if job.job_id in self._cancelled_waiting:  # it began before it could be let go: a worker after all
            self._cancelled_waiting.discard(job.job_id)
            self.released.discard(job.job_id)
        since = self._running_since.setdefault(job.job_id, time.monotonic())
        if is_here:
            return
        if job.job_id in self.called:
            self._abandon(job, "its worker is gone")
        elif time.monotonic() - since > CALL_WITHIN_S:
            self._abandon(job, f"its worker has not called for {CALL_WITHIN_S:.0f} s")
            self.stillborn.append(job.job_id)

    def _abandon(self, job: Job, why: str) -> None:
        _log.warning("job %s is cancelled: %s; see %s", job.job_id, why, self.error_file(job.job_id))
        commands.cancel([job.job_id])
        self._ended[job.job_id] = self.living.pop(job.job_id)

    def _bury(self, job_id: str) -> None:
        found = commands.look_up(job_id)
        if found is not None and found.alive:
            return  # a list that was short for a moment
        last = self.living.pop(job_id)
        job = self._ended[job_id] = found or last
        if job.settled:
            self._enter(job_id)
        if job_id not in self.called | self.released:
            self.stillborn.append(job_id)
            words = "job %s ended (%s) before its worker called; see %s"
            _log.warning(words, job_id, job.state, self.error_file(job_id))

    def hand_in(self, wanted: int) -> None:
        """Hand jobs in until `wanted` count as workers, or SLURM takes no more.

        Raises:
            BadInput: SLURM refuses, or does not answer.
        """
        self.full = ""
        missing, cap = wanted - len(self.crew), self.order.profile.submission_cap
        if missing > 0 and cap is not None:
            free = cap - len(commands.my_jobs(prefix=""))
            self.full = f"the submission cap of {cap} jobs is reached" if free < missing else ""
            missing = min(missing, free)
        for _ in range(missing):
            try:
                job_id = commands.submit(self._script)
            except QueueFull as full:
                self.full = str(full)
                return
            self.living[job_id] = Job(job_id, self.order.name, "PENDING")
            _log.info("job %s is handed in; its files: %s", job_id, self.error_file(job_id).with_suffix(".{out,err}"))

    def let_go_waiting(self, count: int) -> int:
        """Cancel up to `count` jobs that still wait; how many."""
        waiting = [job.job_id for job in self.crew if job.waits][:count]
        commands.cancel(waiting, only_waiting=True)
        self.released |= set(waiting)
        self._cancelled_waiting |= set(waiting)
        return len(waiting)

    def end(self, job_id: str) -> Job | None:
        """Wait until SLURM says how a job ended, and cancel it where it goes on; null where nobody knows it."""
        if job_id in self._ended and self._ended[job_id].settled:
            return self._ended[job_id]
        deadline = time.monotonic() + ENDS_BY_ITSELF_S
        while (job := commands.look_up(job_id)) is not None and job.alive:
            if time.monotonic() > deadline:
                commands.cancel([job_id])
                break
            time.sleep(0.5)
        return self._await_end(job_id, time.monotonic() + END_WITHIN_S)

    def close(self) -> None:
        """End all that lives, and write down what it held."""
        commands.cancel(self.living)
        deadline = time.monotonic() + END_WITHIN_S
        for job_id in (*self._ended, *self.living):
            if job_id not in self._in_ledger:
                with suppress(BadInput):
                    self._await_end(job_id, deadline)
                self._enter(job_id)

    def _await_end(self, job_id: str, deadline: float) -> Job | None:
        job = commands.look_up(job_id)
        while job is not None and not job.settled and time.monotonic() < deadline:
            time.sleep(0.5)
            job = commands.look_up(job_id)
        return job

    def _enter(self, job_id: str) -> None:
        with suppress(BadInput, OSError):  # what it cost is good to know; it must not end a study
            place = self.order.place
            spent = commands.cost(job_id, place.flow_run, place.stage)
            ledger.enter(ledger.ledger_path(place.workspace, place.study), [spent] if spent else [])
            self._in_ledger.add(job_id)

    def error_file(self, job_id: str) -> Path:
        """A job's .err file."""
        return self.order.log_folder / f"{self.order.name}-{job_id}.err"

    def error_tail(self, job_id: str) -> str:
        """The end of a job's .err file; empty where there is none."""
        with suppress(OSError):
            lines = self.error_file(job_id).read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(lines[-TAIL_LINES:])
        return ""
