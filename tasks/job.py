"""The SLURM job that this process works in, where it does."""

import os
import re
import time
from dataclasses import dataclass
from functools import lru_cache

from core.progress import Stopped

_OUT_OF_TIME = "job {} is near its walltime; stopped at {} of {}, after {:.1f} % of its time"
_READ = re.compile(r"job (.+) is near its walltime; stopped at (.+) of (.+), after (.+) % of its time")


class OutOfTime(Stopped):
    """The worker's job is about to reach its walltime; the unit goes on, from its checkpoint, in another one.

    `share` is the part of the job's time that the unit had. It is made of its message alone: Prefect may store no more.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        found = _READ.fullmatch(message)
        assert found is not None, f"not the message of `OutOfTime.at`: {message}"
        self.job, self.done, self.total, self.share = found[1], int(found[2]), int(found[3]), float(found[4]) / 100

    @classmethod
    def at(cls, job: str, done: int, total: int, share: float) -> "OutOfTime":
        """The unit stopped at `done` of `total`, when it had had `share` of the job's time."""
        return cls(_OUT_OF_TIME.format(job, done, total, 100 * share))


@dataclass(frozen=True)
class WorkerJob:
    """A SLURM job: its id, node, GPUs, when it takes no further work (Unix time, by the node's own clock), and how
    many seconds it works in all."""

    job_id: str
    node: str
    gpus: str
    ends: float
    seconds: float

    def __str__(self) -> str:
        gpus = f" · GPU {self.gpus}" if self.gpus else ""
        return f"job {self.job_id} on {self.node}{gpus}"


@lru_cache(maxsize=1)
def this_job() -> WorkerJob | None:
    """The job that this process runs in; null outside a worker of ours."""
    ends = os.environ.get("SAEFLOW_JOB_ENDS")
    job_id = os.environ.get("SLURM_JOB_ID")
    if ends is None or job_id is None:
        return None
    gpus = os.environ.get("SLURM_JOB_GPUS") or os.environ.get("CUDA_VISIBLE_DEVICES", "")
    seconds = float(os.environ["SAEFLOW_JOB_SECONDS"])
    return WorkerJob(job_id, os.environ.get("SLURMD_NODENAME", "?"), gpus, float(ends), seconds)


def leave_in_time(done: int, total: int, since: float) -> None:
    """Raise `OutOfTime` once the job nears its walltime; `since` is when the unit began (Unix time)."""
    job = this_job()
    if job is not None and time.time() > job.ends:
        raise OutOfTime.at(job.job_id, done, total, (time.time() - since) / job.seconds)
