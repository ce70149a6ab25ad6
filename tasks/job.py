"""The SLURM job that this process works in, where it does."""

import os
import time
from dataclasses import dataclass
from functools import lru_cache

from core.progress import Stopped


class OutOfTime(Stopped):
    """The worker's job is about to reach its walltime; the unit goes on, from its checkpoint, in another one.

    `share` is the part of the job's time that the unit had.
    """

    def __init__(self, job: str, done: int, total: int, share: float) -> None:
        super().__init__(job, done, total, share)
        self.job, self.done, self.total, self.share = job, done, total, share

    def __str__(self) -> str:
        return f"job {self.job} is near its walltime; stopped at {self.done} of {self.total}"


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
        raise OutOfTime(job.job_id, done, total, (time.time() - since) / job.seconds)
