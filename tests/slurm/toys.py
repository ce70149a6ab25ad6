"""Bodies of toy units: what they do on a worker, and the marks they leave for the test."""

import os
import time
from pathlib import Path

from tasks.context import Work


def mark(work: Work, words: str) -> None:
    """Write a line down that the test reads; appends of one short line are whole on a local disk."""
    job = os.environ.get("SLURM_JOB_ID", "-")
    gpu = os.environ.get("SLURM_JOB_GPUS", "-")
    with (Path(work.context.workspace) / "marks.txt").open("a", encoding="utf-8") as file:
        file.write(f"{work.unit.name} {work.context.attempt} {job} {gpu} {words}\n")


def quick(work: Work) -> None:
    """Done at once."""
    mark(work, "made")


def first_attempt_waits(work: Work) -> None:
    """Unit 0 works for a long time on its first attempt; all else is done at once."""
    mark(work, "begins")
    if work.unit.name == "0" and work.context.attempt == 1:
        work_for(work, 120)
    mark(work, "made")


def works_a_little(work: Work) -> None:
    """Four seconds of work."""
    work_for(work, 4)
    mark(work, "made")


def work_for(work: Work, seconds: float) -> None:
    """Work with a sign of progress five times a second."""
    for tick in range(int(seconds * 5)):
        work.progress(tick, int(seconds * 5))
        time.sleep(0.2)


def hungry(work: Work) -> None:
    """Unit 0 needs more memory than the first tier has; really allocated, a page at a time."""
    mark(work, f"tier {work.context.memory_tier}")
    if work.unit.name == "0":
        held = [bytearray(b"x" * (64 << 20)) for _ in range(24)]
        work_for(work, 8)
        assert len(held) == 24


def counts_up(work: Work) -> None:
    """Twenty-five seconds of work that checkpoints every tick, as training does when it is told to stop."""
    path = work.checkpoint / "count.txt"
    work.checkpoint.mkdir(parents=True, exist_ok=True)
    begin = int(path.read_text(encoding="utf-8")) if path.exists() else 0
    mark(work, f"from {begin}")
    for tick in range(begin, 25):
        path.write_text(str(tick), encoding="utf-8")
        work.progress(tick, 25)
        time.sleep(1.0)
    mark(work, "made")


def kills_its_worker(work: Work) -> None:
    """Ends its process at once, as a segmentation fault would."""
    mark(work, "begins")
    os.kill(os.getpid(), 9)
