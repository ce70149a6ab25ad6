"""Send a stage's units to its workers, and send again those that a worker took with it."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import httpx
from prefect import Task
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture
from prefect.states import Crashed

from core.planning.steps import STEPS
from core.store.ledger import UnitCost, enter, unit_ledger_path
from core.store.units import Unit
from flows.runtime.worker_protocol import Workers, WorkersGone
from tasks.context import RunContext
from tasks.job import OutOfTime
from tasks.lease import Lease, forget_holder, last_holder
from tasks.step import STOPPING, out_of_memory

_log = logging.getLogger("saeflow.flows")
Steps = Mapping[str, Task[..., dict[str, Any]]]
TEND_EVERY_S = 1.0
# A unit that had less of a job's time than this has not had a fair try yet.
_A_WHOLE_JOB = 0.5
# Workers that are lost one after the other under a unit that never began: beyond this, it is the unit that ends them.
_MOST_LOSSES = 5


@dataclass
class Outcome:
    """What became of the units that are not there: why, by label, and which may be tried with more memory."""

    reasons: dict[str, str] = field(default_factory=dict)
    out_of_memory: list[Unit] = field(default_factory=list)


@dataclass
class _Sent:
    """A unit under way: which attempt this is, how far the one before came, how often a worker was lost under it, and
    who held it before it was sent."""

    unit: Unit
    attempt: int = 1
    done: int = -1
    losses: int = 0
    before: Lease | None = None


class Dispatch:
    """The units of one stage on one pool of workers."""

    def __init__(self, name: str, steps: Steps, context: RunContext, workers: Workers, outcome: Outcome) -> None:
        self.name, self._steps, self._context, self._workers = name, steps, context, workers
        self.outcome = outcome
        self._under_way: dict[PrefectFuture[Any], _Sent] = {}
        self._arrived: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
        self._losses: list[dict[str, Any]] = []
        self._began = time.time()

    def run(self, units: Sequence[Unit]) -> Outcome:
        """Work until each of these units is made, or has failed for good.

        Raises:
            BadInput: SLURM refuses.
        """
        bar = note_down(create_progress_artifact, 0.0, key=self._key(), description=f"{self.name}: {len(units)} units")
        try:
            for unit in units:
                self._send(_Sent(unit))
            self._workers.tend(len(self._under_way))
            while self._under_way:
                if self._wait() and bar is not None:
                    note_down(update_progress_artifact, bar, 100.0 * (1 - len(self._under_way) / len(units)))
        except WorkersGone as gone:
            self._give_up(str(gone))
        except BaseException:
            STOPPING.set()  # the runner waits for its threads before this error goes on: let them end
            self._workers.stop()
            raise
        return self.outcome

    def _key(self, about: str = "") -> str:
        return f"{self.name}{about}".replace("_", "-")

    def _send(self, sent: _Sent) -> None:
        context = replace(self._context, attempt=sent.attempt)
        sent.before = last_holder(context.store, sent.unit.artifact)
        task = as_task(sent.unit, self._steps, context)
        future = task.submit(sent.unit.to_json(), context=context.to_json())
        self._under_way[future] = sent
        future.add_done_callback(self._arrived.put)

    def _wait(self) -> bool:
        """Take in the next unit that is done; whether one was."""
        try:
            future = self._arrived.get(timeout=TEND_EVERY_S)
        except Empty:
            self._workers.tend(len(self._under_way))
            return False
        self._take_in(future)
        self._settle(future, self._under_way.pop(future))
        self._workers.tend(len(self._under_way))
        return True

    def _take_in(self, future: PrefectFuture[Any]) -> None:
        """Wait for the state of a future that was done: it holds its own, which the server learns of later.

        A result that was lost with its worker is made again by Dask: until then the workers are looked after.
        """
        while True:
            future.wait(TEND_EVERY_S)
            wrapped: Any = getattr(future, "wrapped_future", None)
            if future.state.is_final() or getattr(wrapped, "status", "error") in ("error", "cancelled"):
                return
            self._workers.tend(len(self._under_way))

    def _settle(self, future: PrefectFuture[Any], sent: _Sent) -> None:
        if not future.state.is_final():
            self._lost(future, sent)
        elif not future.state.is_completed():
            self._failed(future, sent)
        else:
            self._made(sent.unit)

    def _made(self, unit: Unit) -> None:
        """Tell of a unit that was made just now, and enter what it used."""
        context = self._context
        try:
            made = context.store.manifest(unit.artifact)["provenance"]
        except (OSError, ValueError):  # a shared file system can show it late
            _log.warning(
                "%s: its manifest is not visible yet; its line is missing from the ledger of units", unit.label
            )
            return
        if made["finished"] < self._began:
            return
        _log.info("%s is done after %.1f s", unit.label, made["wall_seconds"])
        ledger = unit_ledger_path(Path(context.workspace), context.study)
        enter(ledger, [UnitCost.of(unit, context.flow_run_id or "", made)])

    def _record_failure(self, unit: Unit, why: str) -> None:
        self.outcome.reasons[unit.label] = why
        _log.error("%s failed: %s (log: %s)", unit.label, why, self._context.log_file(unit))

    def _failed(self, future: PrefectFuture[Any], sent: _Sent) -> None:
        error = _error_of(future)
        if isinstance(error, OutOfTime):
            self._go_on(error, sent)
            return
        if out_of_memory(error):
            self.outcome.out_of_memory.append(sent.unit)
        message = future.state.message or future.state.name or "no reason was recorded"
        self._record_failure(sent.unit, message.removeprefix("Task run encountered an exception ").strip())

    def _go_on(self, error: OutOfTime, sent: _Sent) -> None:
        """Continue a unit in another job, unless a whole job brought it no further."""
        self._workers.retire(error.job)
        if error.done > sent.done or error.share < _A_WHOLE_JOB:
            self._note(sent, error.job, str(error), "goes on in another job")
            self._send(replace(sent, done=max(error.done, sent.done)))
            return
        fix = "a whole job brought it no further: raise the walltime, or checkpoint more often"
        self._record_failure(sent.unit, f"{error}; {fix}")

    def _lost(self, future: PrefectFuture[Any], sent: _Sent) -> None:
        """Send a lost unit again, as often as its step allows; one that had not begun costs no attempt."""
        unit, store = sent.unit, self._context.store
        killed_on = _killed_on(future)
        holder = last_holder(store, unit.artifact)
        # Another study may hold the unit: its lease is neither ours to count nor to remove.
        begun = holder is not None and holder != sent.before and holder.job in (None, killed_on)
        loss = self._workers.loss(killed_on)
        _mark_crashed(future, f"attempt {sent.attempt}: {loss.reason}")
        if holder is not None and loss.ended and holder.job == loss.job:
            forget_holder(store, unit.artifact, holder)
        if store.intact(unit.artifact):
            return
        costs = not loss.free
        again = replace(sent, attempt=sent.attempt + (begun and costs), losses=sent.losses + costs)
        if loss.out_of_memory:
            self.outcome.out_of_memory.append(unit)
        elif again.attempt <= STEPS[unit.step].retries + 1 and again.losses <= _MOST_LOSSES:
            self._note(sent, loss.job, loss.reason, "sent again")
            self._send(again)
            return
        self._note(sent, loss.job, loss.reason, "given up here")
        words = f"{loss.reason}; workers were lost {again.losses} times"
        self._record_failure(unit, f"{words}. The last one's words:\n{loss.tail}" if loss.tail else words)

    def _note(self, sent: _Sent, job: str, reason: str, then: str) -> None:
        row = {"unit": sent.unit.label, "attempt": sent.attempt, "job": job, "reason": reason, "then": then}
        self._losses.append(row)
        _log.warning("%s, attempt %d: %s; %s", sent.unit.label, sent.attempt, reason, then)
        note_down(
            create_table_artifact, self._losses, key=self._key("-lost"), description="Units that lost their worker"
        )

    def _give_up(self, why: str) -> None:
        for future, sent in self._under_way.items():
            _mark_crashed(future, why)
            self._record_failure(sent.unit, why)
        self._under_way.clear()


def show(units: Sequence[Unit], steps: Steps, context: RunContext) -> None:
    """Show units that are there as Cached, from this process."""
    for unit in units:
        as_task(unit, steps, context)(unit.to_json(), context.to_json(), return_state=True)


def as_task(unit: Unit, steps: Steps, context: RunContext) -> Task[..., dict[str, Any]]:
    """The unit's task, its results in this workspace: a Path, not a block, for the workspace is known only now."""
    return steps[unit.step].with_options(result_storage=context.store.root)


def note_down(show: Callable[..., Any], *what: Any, **how: Any) -> Any:
    """Show something in Prefect; a server that is away for a moment must not end a study."""
    try:
        return show(*what, **how)
    except (PrefectException, httpx.HTTPError) as error:
        _log.warning("Prefect did not take a note: %s", error)
        return None


def _killed_on(future: PrefectFuture[Any]) -> str | None:
    """The name of the worker that Dask saw dying, which on SLURM is its job's id."""
    wrapped: Any = getattr(future, "wrapped_future", None)
    error = wrapped.exception() if wrapped is not None else None
    worker = getattr(error, "last_worker", None)  # distributed's KilledWorker
    return str(worker.name) if worker is not None else None


def _error_of(future: PrefectFuture[Any]) -> BaseException:
    """What a unit failed with; where Prefect cannot make the stored exception again, what that failed with."""
    try:
        error = future.state.result(raise_on_failure=False)
    except Exception as failed:
        return failed
    return error if isinstance(error, BaseException) else RuntimeError(str(error))


def _mark_crashed(future: PrefectFuture[Any], why: str) -> None:
    """The task run of a worker that told nobody how it ended."""
    with suppress(Exception), get_client(sync_client=True) as client:
        client.set_task_run_state(future.task_run_id, Crashed(message=why), force=True)
