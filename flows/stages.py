"""A stage: one subflow that maps one step over its units, on the workers that it needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import Task, flow, unmapped
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture, as_completed

from core.plan import Unit
from core.steps import STEPS
from flows.runners import Profile, task_runner
from tasks.context import RunContext
from tasks.step import STOPPING, forget_if_damaged

Steps = Mapping[str, Task[..., dict[str, Any]]]


class StageFailed(RuntimeError):
    """Some units of a stage failed; their siblings are done and stay done."""


def run_stage(name: str, units: Sequence[Unit], steps: Steps, context: RunContext, profile: Profile) -> None:
    """Make what is missing of `units`; what is there shows as Cached.

    Raises:
        StageFailed: after all siblings have finished, naming each unit that failed and why.
    """
    whole = {unit.label for unit in units if forget_if_damaged(context.store, unit)}
    missing = [unit for unit in units if unit.label not in whole]
    # Where workers are processes or jobs, only misses are sent to them; what is whole is shown from here.
    here = [unit for unit in units if unit.label in whole] if missing and profile.kind != "threads" else []
    sent = [unit for unit in units if unit not in here]
    needs = "gpu" if any(STEPS[unit.step].needs == "gpu" for unit in missing) else "cpu"

    @flow(
        name=name,
        flow_run_name=f"{name} ({len(units)} units, {len(missing)} to make)",
        task_runner=task_runner(profile, needs, len(missing)),
        validate_parameters=False,
    )
    def stage(study: str, to_make: list[str]) -> None:
        # The flow crosses to Dask workers by value: it may name no lock, so the work stands in a function beside it.
        reasons = _attempt(name, here, sent, steps, context)
        _complain(name, units, reasons, context)

    stage(context.study, [unit.label for unit in missing])


def _attempt(
    name: str, here: Sequence[Unit], sent: Sequence[Unit], steps: Steps, context: RunContext
) -> dict[str, str]:
    try:
        for unit in here:
            _task(unit, steps, context)(unit.to_json(), context.to_json(), return_state=True)
        return _work(name, sent, steps, context)
    except BaseException:
        STOPPING.set()  # the runner waits for its threads before this error goes on: let them end
        raise


def _work(name: str, units: Sequence[Unit], steps: Steps, context: RunContext) -> dict[str, str]:
    futures: dict[PrefectFuture[Any], Unit] = {}
    for step_name in dict.fromkeys(unit.step for unit in units):
        mine = [unit for unit in units if unit.step == step_name]
        task = _task(mine[0], steps, context)
        sent = task.map([unit.to_json() for unit in mine], context=unmapped(context.to_json()))
        futures |= dict(zip(sent, mine, strict=True))
    bar: Any = create_progress_artifact(0.0, key=name.replace("_", "-"), description=f"{name}: {len(units)} units")
    reasons: dict[str, str] = {}
    for done, future in enumerate(as_completed(list(futures)), start=1):
        future.wait()  # done as it is, it then holds its own state: the server learns of that later
        if not future.state.is_completed():
            reasons[futures[future].label] = _reason(future)
        update_progress_artifact(bar, 100.0 * done / len(units))
    return reasons


def _task(unit: Unit, steps: Steps, context: RunContext) -> Task[..., dict[str, Any]]:
    # A Path, not a block: the workspace is known only now.
    return steps[unit.step].with_options(result_storage=context.store.root)


def _reason(future: PrefectFuture[Any]) -> str:
    if not future.state.is_final():
        return "its worker was lost"
    message = future.state.message or future.state.name or "no reason was recorded"
    return message.removeprefix("Task run encountered an exception ").strip()


def _complain(name: str, units: Sequence[Unit], reasons: Mapping[str, str], context: RunContext) -> None:
    # Done is what the manifest says: a worker that was lost may have told nobody.
    failed = [unit for unit in units if not context.store.intact(unit.artifact)]
    if not failed:
        return
    lines = [
        f"{unit.label}: {reasons.get(unit.label, 'its worker was lost')} (log: {context.log_file(unit)})"
        for unit in failed
    ]
    rest = len(units) - len(failed)
    raise StageFailed(
        f"{name}: {len(failed)} of {len(units)} units failed; {rest} are done and stay. "
        f"Run again to make only what is missing.\n" + "\n".join(lines)
    )
