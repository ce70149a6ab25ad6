"""A stage: subflows that map its steps over its units, each on the workers that it needs."""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from core.store.artifacts import SEEN_WITHIN_S
from core.store.lineage import look
from core.store.steps import CAPTURE
from core.store.units import Unit
from flows.dispatch import Dispatch, Outcome, Steps, note_down, show
from flows.runtime.place import Place
from flows.runtime.profiles import Pool, Profile, SlurmPool, pool_of
from flows.workers import open_workers
from tasks.context import RunContext
from tasks.lease import live_mark
from tasks.step import forget_if_damaged

_log = logging.getLogger("saeflow.flows")


class StageFailed(RuntimeError):
    """Some units of a stage failed; their siblings are done and stay done."""


@dataclass(frozen=True)
class _Round:
    """Units on one pool: `here` are whole and only shown, `sent` go to workers, `to_make` are those of them that are
    missing; `tier` is how often they ran out of memory."""

    pool: Pool
    here: tuple[Unit, ...]
    sent: tuple[Unit, ...]
    to_make: tuple[Unit, ...]
    tier: int = 0


def run_stage(name: str, units: Sequence[Unit], steps: Steps, context: RunContext, profile: Profile) -> None:
    """Make what is missing of `units`; what is there shows as Cached.

    Raises:
        StageFailed: after all siblings have finished, naming each unit that failed and why.
    """
    if not units:
        return
    _make_way(units, context)
    whole = {unit.label for unit in units if forget_if_damaged(context.store, unit)}
    failed: list[str] = []
    began = time.monotonic()
    _log.info("stage %s begins: %d units, %d to make", name, len(units), len(units) - len(whole))
    for part in _rounds(units, whole, profile):
        tier: _Round | None = part
        while tier is not None:
            outcome = Outcome()
            try:
                at = replace(context, threads=tier.pool.threads, memory_tier=tier.tier)
                _run_round(name, tier, steps, at, profile, outcome)
            except StageFailed as error:
                failed.append(str(error))
            tier = _with_more_memory(tier, outcome)
    if failed:
        raise StageFailed("\n".join(failed))
    _log.info("stage %s is done after %.1f s", name, time.monotonic() - began)


def _make_way(units: Sequence[Unit], context: RunContext) -> None:
    """Log what is damaged, and set aside what a damaged unit puts in doubt: later stages then recompute it. The
    damaged one itself is set aside by the process that recomputes it, which alone holds its lease."""
    found = look(context.store, units)
    for line in found.damage:
        _log.warning("%s", line)
    for artifact in found.doubtful:
        context.store.set_aside(artifact)


def _rounds(units: Sequence[Unit], whole: set[str], profile: Profile) -> Iterator[_Round]:
    """The units by the pool that they need; where workers are processes or jobs, only misses are sent to them."""
    missing = [unit for unit in units if unit.label not in whole]
    if profile.kind == "threads" or not missing:
        yield _Round(pool_of(profile, (missing or units)[0].step), (), tuple(units), tuple(missing))
        return
    here = tuple(unit for unit in units if unit.label in whole)
    pools: dict[Pool, list[Unit]] = {}
    for unit in missing:
        pools.setdefault(pool_of(profile, unit.step), []).append(unit)
    for pool, mine in pools.items():
        yield _Round(pool, here, tuple(mine), tuple(mine))
        here = ()


def _with_more_memory(part: _Round, outcome: Outcome) -> _Round | None:
    """The units that ran out of memory, on workers that have more, or once more where they can take less; null where
    neither is."""
    units = tuple(outcome.out_of_memory)
    if not units or not isinstance(part.pool, SlurmPool):
        return None
    pool = part.pool.with_more_memory()
    if pool is None and not (part.tier == 0 and all(unit.step == CAPTURE.name for unit in units)):
        return None
    return _Round(pool or part.pool, (), units, units, part.tier + 1)  # capture halves its batches by the tier


def _run_round(name: str, part: _Round, steps: Steps, context: RunContext, profile: Profile, outcome: Outcome) -> None:
    workspace = context.store.root.parent
    alive = live_mark(workspace, context.parent_run_id) if context.parent_run_id else None
    place = Place(context.study, name, workspace, context.flow_run_id or "", alive)

    def say(note: str) -> None:
        key = f"{name}-workers".replace("_", "-")
        note_down(create_markdown_artifact, note, key=key, description="Workers of this stage")

    with open_workers(profile, part.pool, place, len(part.to_make), say) as workers:
        dispatch = Dispatch(name, steps, context, workers, outcome)
        memory = f", {part.pool.memory}" if context.memory_tier and isinstance(part.pool, SlurmPool) else ""
        count = len(part.here) + len(part.sent)
        named = _stage.with_options(
            name=name,
            flow_run_name=f"{name} ({count} units, {len(part.to_make)} to make{memory})",
            task_runner=workers.runner,
        )
        token = _UNDER_WAY.set(_Work(part, dispatch, steps, context))
        try:
            named(context.study, [unit.label for unit in part.to_make])
        finally:
            _UNDER_WAY.reset(token)


@dataclass(frozen=True)
class _Work:
    part: _Round
    dispatch: Dispatch
    steps: Steps
    context: RunContext


_UNDER_WAY: ContextVar[_Work] = ContextVar("_UNDER_WAY")


@flow(validate_parameters=False)
def _stage(study: str, to_make: list[str]) -> None:
    # The flow crosses to Dask workers by value, with each task: it may name no lock and no connection itself.
    _work()


def _work() -> None:
    work = _UNDER_WAY.get()
    show(work.part.here, work.steps, work.context)
    outcome = work.dispatch.run(work.part.sent)
    unseen = _unseen(work, outcome)
    if unseen:  # asked for, told to be done, and not there
        work.dispatch.run(unseen)
    _complain(work, outcome)


def _unseen(work: _Work, outcome: Outcome) -> list[Unit]:
    hoped = {unit.artifact: unit for unit in work.part.sent if unit.label not in outcome.reasons}
    return [hoped[artifact] for artifact in work.context.store.missing(hoped, SEEN_WITHIN_S)]


def _complain(work: _Work, outcome: Outcome) -> None:
    # Done is what the manifest says: a worker that was lost may have told nobody.
    store, units = work.context.store, work.part.sent
    more = {unit.label for unit in outcome.out_of_memory} if _with_more_memory(work.part, outcome) else set()
    failed = [unit for unit in units if unit.label not in more and not store.intact(unit.artifact)]
    if not failed:
        return
    lines = [
        f"{_named(several)}: {_why(several[0], outcome)} (log: {work.context.log_file(several[0])})"
        for several in _by_reason(failed, outcome)
    ]
    rest = len(units) + len(work.part.here) - len(failed)
    raise StageFailed(
        f"{work.dispatch.name}: {len(failed)} of {rest + len(failed)} units failed; {rest} are done and stay. "
        f"Run again to make only what is missing.\n" + "\n".join(lines)
    )


def _why(unit: Unit, outcome: Outcome) -> str:
    return outcome.reasons.get(unit.label, "its worker was lost")


def _by_reason(failed: Sequence[Unit], outcome: Outcome) -> list[list[Unit]]:
    """Units that failed for one reason together, whatever its numbers: a budget is spent in many units at once."""
    found: dict[str, list[Unit]] = {}
    for unit in failed:
        found.setdefault(re.sub(r"\d+", "0", _why(unit, outcome)), []).append(unit)
    return list(found.values())


def _named(units: Sequence[Unit]) -> str:
    """The first of several units, and how many more there are."""
    more = len(units) - 1
    return units[0].label + (f" and {more} more" if more else "")
