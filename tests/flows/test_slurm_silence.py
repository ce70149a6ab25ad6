"""A controller that does not answer, by a clock of the test's own; tests/slurm has a real one."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import BadInput
from flows.runtime.worker_protocol import WorkersGone
from flows.slurm import workers

LIMIT_S = 20.0


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(workers, "time", clock)
    return clock


def tended() -> workers.SlurmWorkers:
    """Workers without any job, whose controller is asked at each call."""
    order = SimpleNamespace(profile=SimpleNamespace(give_up_after_s=LIMIT_S))
    jobs: Any = SimpleNamespace(order=order, crew=[])
    cluster = SimpleNamespace(scheduler=SimpleNamespace(workers={}))
    client: Any = None
    return workers.SlurmWorkers(jobs, cluster, client, print)


def silent(*_: object) -> None:
    raise BadInput("squeue: Unable to contact slurm controller")


def test_silence_is_counted_from_the_first_look_that_nothing_answered(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = tended()
    monkeypatch.setattr(workers.SlurmWorkers, "_look_after", lambda *_: None)
    at_work.tend(1)
    monkeypatch.setattr(workers.SlurmWorkers, "_look_after", silent)
    clock.now = 3 * LIMIT_S  # nobody asked in the meantime
    at_work.tend(1)
    clock.now += LIMIT_S
    at_work.tend(1)
    clock.now += workers.LOOK_EVERY_S
    with pytest.raises(WorkersGone, match="not answered for 23 s"):
        at_work.tend(1)
