"""Close in Prefect what a kill left open: runs, stages and units that are shown as going on though nobody makes them.

Whether a study run goes on is told by its sign of life in the workspace (`flows.running`), never by Prefect: a server
may be shared with studies of other processes, machines and workspaces.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Completed, Crashed

from flows.running import RunMark, forget_mark, is_served, read_marks
from tasks.lease import DEAD_AFTER_S

_log = logging.getLogger("saeflow.flows")
FLOWS = ("full-analysis", "single-layer")
_OPEN = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING", "SCHEDULED"]}}
_PAGE = 200
# The clock of the process that sets a state and the one that writes the sign of life are the same one.
_SAME_MOMENT_S = 2.0
# A sign of life whose run this server does not know, for it is another server's, is kept this long.
_KEPT_S = 30 * 24 * 3600.0


@dataclass
class _Study:
    """What is open of one study run: the run itself, or its stages and units alone where it has ended."""

    root: FlowRun
    stages: list[FlowRun]
    units: list[TaskRun]


def try_to_close(workspace: Path, own_server: bool) -> list[str]:
    """`close_left_running`, where a server that does not answer ends nothing: it is asked again at the next start."""
    try:
        return close_left_running(workspace, own_server)
    except (PrefectException, httpx.HTTPError, RuntimeError) as error:  # RuntimeError: a server that does not answer
        return [f"Prefect could not be asked for what a killed process left running: {error}"]


def log_left_running(workspace: Path) -> None:
    """Close, on whatever server this process reports to, what this workspace's killed processes left; logged."""
    for line in try_to_close(workspace, own_server=False):
        _log.warning(line)


def close_left_running(workspace: Path, own_server: bool) -> list[str]:
    """Set Crashed what killed processes left open, and release the deployments' slots that it held; a line per run.

    On this workspace's own server runs without any sign of life are closed too, once they are two minutes old; on a
    server that others may share only those whose sign of life in this workspace has ended.
    """
    marks = {UUID(mark.flow_run): (mark, alive) for mark, alive in read_marks(workspace)}
    dead = {key: mark for key, (mark, alive) in marks.items() if not alive}
    if not dead and not own_server:
        return []
    told: list[str] = []
    with get_client(sync_client=True) as client:
        server = _Server(client)
        for study in server.open_studies() if own_server else server.open_studies_of(list(dead)):
            mark, alive = marks.get(study.root.id, (None, False))
            if alive or study.root.state is None or study.root.state.is_scheduled():  # it waits for a process
                continue
            spoken_of = mark is not None and _of_this_attempt(mark, study.root.state)
            if spoken_of or (own_server and _without_a_process(study, server, workspace)):
                told.append(server.close(study, mark))
        for key, mark in dead.items():
            if server.has_ended(key) or time.time() - mark.since > _KEPT_S:
                forget_mark(workspace, str(key))
    return told


def _without_a_process(study: _Study, server: "_Server", workspace: Path) -> bool:
    """Whether nothing makes a run that has no sign of life: left by an earlier version, or before it could give one."""
    root = study.root
    if server.flow_name(root.flow_id) not in FLOWS:
        return False
    if root.state is not None and root.state.is_pending() and root.deployment_id is not None:
        return root.work_pool_name is None and not is_served(workspace)
    below: list[FlowRun | TaskRun] = [*study.stages, *study.units]
    newest = max(run.state.timestamp for run in [root, *below] if run.state is not None)
    return (datetime.now(UTC) - newest).total_seconds() > DEAD_AFTER_S


def _of_this_attempt(mark: RunMark, state: Any) -> bool:
    """Whether a dead sign of life speaks of the state that Prefect shows: a run may have been started again since."""
    if state.type == StateType.PENDING:
        return False
    began: float = state.timestamp.timestamp()
    return state.type != StateType.RUNNING or mark.since >= began - _SAME_MOMENT_S


class _Server:
    """What a Prefect server knows of our studies."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._flow_runs: dict[UUID, FlowRun | None] = {}
        self._flow_names: dict[UUID, str] = {}

    def open_studies(self) -> list[_Study]:
        """Everything open on the server, by the run at its top."""
        return self._by_root(self._flow_runs_that(state=_OPEN), self._task_runs_that(state=_OPEN))

    def open_studies_of(self, roots: list[UUID]) -> list[_Study]:
        """What is open of these runs and below them."""
        known = [root for root in roots if self._flow_run(root) is not None]
        if not known:
            return []
        below = list(self._flow_runs_that(parent_flow_run_id={"any_": known}))
        ids = [*known, *(run.id for run in below)]
        flow_runs = self._flow_runs_that(state=_OPEN, id={"any_": ids})
        return self._by_root(flow_runs, self._task_runs_that(state=_OPEN, flow_run_id={"any_": ids}))

    def has_ended(self, key: UUID) -> bool:
        """Whether a run is there and has no process to wait for."""
        self._flow_runs.pop(key, None)
        run = self._flow_run(key)
        return run is not None and (run.state is None or run.state.is_final() or run.state.is_scheduled())

    def flow_name(self, flow_id: UUID) -> str:
        """The name of a flow."""
        if flow_id not in self._flow_names:
            self._flow_names[flow_id] = self._client.read_flow(flow_id).name
        return self._flow_names[flow_id]

    def close(self, study: _Study, mark: RunMark | None) -> str:
        """Set what is open Crashed, the run at the top last, and tell of it in a line.

        Below a run that has completed everything was done: the server was stopped before it heard of it.
        """
        gone = f"its {mark.where} is gone" if mark else "no process makes it any more"
        was = _state_name(study.root)
        name, made = ("Completed", Completed) if was == "Completed" else ("Crashed", Crashed)
        end = partial(made, message=f"{gone}; closed at the next start of saeflow")
        for unit in study.units:
            self._client.set_task_run_state(unit.id, end())
        for run in (*study.stages, study.root):
            self._close_flow_run(run, end)
        what = study.root.name
        below = _counted(study)
        if study.root.state is not None and study.root.state.is_final():
            return f"{what} has ended as {was}, but not {below or 'all'} of it in Prefect: closed as {name}"
        with_them = f", with {below}" if below else ""
        return f"{what} was left {was} in Prefect and {gone}: closed as {name}{with_them}"

    def _close_flow_run(self, run: FlowRun, end: Callable[[], State[Any]]) -> None:
        if run.state is None or run.state.is_final():
            return
        # Unforced, a run that has just ended by itself keeps its state; from Cancelling only force leads anywhere else.
        result: Any = self._client.set_flow_run_state(run.id, end())
        if result.status != SetStateStatus.ACCEPT and run.state.type == StateType.CANCELLING:
            self._client.set_flow_run_state(run.id, end(), force=True)

    def _by_root(self, flow_runs: Iterator[FlowRun], task_runs: Iterator[TaskRun]) -> list[_Study]:
        stages: Mapping[UUID, list[FlowRun]] = defaultdict(list)
        units: Mapping[UUID, list[TaskRun]] = defaultdict(list)
        roots: dict[UUID, FlowRun] = {}
        for run in flow_runs:
            self._flow_runs[run.id] = run
            if (root := self._root(run)) is not None:
                roots[root.id] = root
                if run.id != root.id:
                    stages[root.id].append(run)
        for unit in task_runs:
            above = self._flow_run(unit.flow_run_id) if unit.flow_run_id else None
            if above is not None and (root := self._root(above)) is not None:
                roots[root.id] = root
                units[root.id].append(unit)
        return [_Study(root, stages[key], units[key]) for key, root in roots.items()]

    def _root(self, run: FlowRun) -> FlowRun | None:
        """The run at the top of a stage; null where something between was deleted."""
        above: FlowRun | None = run
        while above is not None and above.parent_task_run_id is not None:
            try:
                parent = self._client.read_task_run(above.parent_task_run_id).flow_run_id
            except ObjectNotFound:
                return None
            above = self._flow_run(parent) if parent else None
        return above

    def _flow_run(self, key: UUID) -> FlowRun | None:
        if key not in self._flow_runs:
            try:
                self._flow_runs[key] = self._client.read_flow_run(key)
            except ObjectNotFound:
                self._flow_runs[key] = None
        return self._flow_runs[key]

    def _flow_runs_that(self, **criteria: Any) -> Iterator[FlowRun]:
        wanted, offset = FlowRunFilter.model_validate(criteria), 0
        while page := self._client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset):
            yield from page
            offset += len(page)

    def _task_runs_that(self, **criteria: Any) -> Iterator[TaskRun]:
        wanted, offset = TaskRunFilter.model_validate(criteria), 0
        while page := self._client.read_task_runs(task_run_filter=wanted, limit=_PAGE, offset=offset):
            yield from page
            offset += len(page)


def _counted(study: _Study) -> str:
    """`1 stage and 3 units`; task runs of the run itself stand for its stages."""
    units = [unit for unit in study.units if unit.flow_run_id != study.root.id]
    counts = {"stage": len(study.stages), "unit": len(units)}
    return " and ".join(f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count)


def _state_name(run: FlowRun) -> str:
    return run.state.name or run.state.type.value.title() if run.state else "?"
