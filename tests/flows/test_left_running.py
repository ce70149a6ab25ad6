"""What a kill -9 leaves open in a real Prefect server is closed at the next start; what goes on is left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.states import Cancelling, Completed, Crashed, Pending, Running, Scheduled

from flows import left_running
from flows.left_running import close_left_running
from flows.running import RunMark, is_served, mark_path, read_marks, running, serving
from tasks.lease import DEAD_AFTER_S, own_lease

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("own_prefect_server")]

CHILD = """
import sys, time
from pathlib import Path
from prefect import flow, task
from prefect.runtime import flow_run
from flows.running import running

@task
def unit():
    Path(sys.argv[1], "under-way").touch()
    time.sleep(600)

@flow(name="train_sae")
def stage():
    unit()

@flow(name="full-analysis", flow_run_name=sys.argv[2])
def study():
    with running(Path(sys.argv[1]), str(flow_run.id), sys.argv[2], ""):
        stage()

study()
"""


@flow(name="full-analysis")
def study() -> None: ...


@flow(name="train_sae")
def stage() -> None: ...


@flow(name="a notebook's")
def foreign() -> None: ...


@task
def unit() -> None: ...


class Server:
    """The session's server, seen from a workspace of its own."""

    def __init__(self, client: SyncPrefectClient, workspace: Path) -> None:
        self.client, self.workspace = client, workspace
        self.name = f"full-analysis {workspace.name}"

    def run(self, state: Any, of: Any = study, **options: Any) -> UUID:
        return self.client.create_flow_run(of, name=self.name, state=state, **options).id

    def below(self, root: UUID) -> tuple[UUID, UUID]:
        """A stage under the run, and a unit under the stage; both Running."""
        stands_for = self.client.create_task_run(unit, root, "stage", state=Running()).id
        under = self.client.create_flow_run(stage, parent_task_run_id=stands_for, state=Running()).id
        return under, self.client.create_task_run(unit, under, "unit", state=Running()).id

    def state(self, key: UUID) -> str:
        return str(self.client.read_flow_run(key).state_name)

    def task_state(self, key: UUID) -> str:
        return str(self.client.read_task_run(key).state_name)

    def has_unit_of(self, root: UUID) -> bool:
        """Whether a unit below the run's stage is shown as Running."""
        stages = self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [root]}})
        )
        below = {"flow_run_id": {"any_": [run.id for run in stages]}, "state": {"type": {"any_": ["RUNNING"]}}}
        return bool(stages and self.client.read_task_runs(task_run_filter=TaskRunFilter.model_validate(below)))

    def mark(self, run: UUID, **about: Any) -> None:
        """A sign of life as a process left it: by default of one that has ended."""
        mark = RunMark(**{**asdict(own_lease()), "pid": _ended(), "flow_run": str(run), "name": "toy", **about})
        path = mark_path(self.workspace, str(run))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(mark)))

    def close(self, own: bool = False) -> list[str]:
        """The lines about this test's runs; the server is the session's."""
        return [line for line in close_left_running(self.workspace, own_server=own) if self.name in line]


def _ended() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with get_client(sync_client=True) as client:
        yield Server(client, tmp_path)


def test_a_killed_study_is_crashed_with_its_stages_and_units_and_named_in_a_line(server: Server) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(server.workspace), server.name], cwd=Path.cwd(), start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (server.workspace / "under-way").exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    ((mark, alive),) = read_marks(server.workspace)
    assert alive and mark.pid == child.pid
    while not server.has_unit_of(UUID(mark.flow_run)):  # Prefect learns of a unit a moment after it began
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.close() == [], "it goes on"
    os.killpg(child.pid, signal.SIGKILL)  # a zombie from here on, until it is waited for
    while next(read_marks(server.workspace))[1]:
        assert time.monotonic() < deadline
    (line,) = server.close()
    child.wait()
    assert line == (
        f"{server.name} was left Running in Prefect and its process {child.pid} on {mark.host} is gone: "
        "closed as Crashed, with 1 stage and 1 unit"
    )
    run = server.client.read_flow_run(UUID(mark.flow_run))
    assert run.state_name == "Crashed" and f"process {child.pid}" in run.state.message
    assert server.close() == [] and list(read_marks(server.workspace)) == []


@pytest.mark.parametrize("own", [True, False])
def test_what_lives_here_or_elsewhere_is_left_alone(server: Server, own: bool) -> None:
    here, elsewhere = server.run(Running()), server.run(Running())
    with running(server.workspace, str(here), "toy", ""):
        server.mark(elsewhere, host="another-node")
        assert server.close(own) == []
        assert [server.state(key) for key in (here, elsewhere)] == ["Running", "Running"]
        beat = time.time() - DEAD_AFTER_S - 1
        os.utime(mark_path(server.workspace, str(elsewhere)), (beat, beat))
        assert len(server.close(own)) == 1
        assert [server.state(key) for key in (here, elsewhere)] == ["Running", "Crashed"]


def test_a_run_whose_end_prefect_did_not_hear_of_is_closed(server: Server) -> None:
    """Its server was killed first; the run itself ended as it should."""
    run = server.run(Running())
    with running(server.workspace, str(run), "toy", ""):
        pass
    ((mark, alive),) = read_marks(server.workspace)
    assert alive and mark.ended and server.close() == [], "it may be about to tell"
    server.mark(run, ended=mark.ended)
    assert len(server.close()) == 1 and server.state(run) == "Crashed"
    assert list(read_marks(server.workspace)) == []


def test_a_later_process_of_the_same_number_is_not_taken_for_the_one_that_ended(server: Server) -> None:
    run = server.run(Running())
    server.mark(run, pid=os.getpid(), since=time.time() - 30 * 24 * 3600)
    assert [alive for _, alive in read_marks(server.workspace)] == [False]


def test_a_run_that_prefect_closed_itself_has_its_stages_and_units_closed(server: Server) -> None:
    root = server.run(Running())
    under, made = server.below(root)
    server.client.set_flow_run_state(root, Crashed(message="Process exited with status code: -9"))
    server.mark(root)
    (line,) = server.close()
    assert line.endswith("has ended as Crashed, but not 1 stage and 1 unit of it in Prefect: closed as Crashed")
    assert (server.state(root), server.state(under), server.task_state(made)) == ("Crashed",) * 3
    assert server.client.read_flow_run(root).state.message == "Process exited with status code: -9"


def test_a_run_that_was_being_cancelled_ends_too(server: Server) -> None:
    run = server.run(Running())
    server.client.set_flow_run_state(run, Cancelling())
    server.mark(run)
    server.close()
    assert server.state(run) == "Crashed"


@pytest.mark.parametrize("state", [Pending(), Running(), Scheduled()], ids=str)
def test_a_run_that_was_started_again_since_is_left_alone(server: Server, state: Any) -> None:
    run = server.run(state)
    server.mark(run, since=time.time() - 3600)
    assert server.close() == [] and server.state(run) != "Crashed"


def test_a_run_without_any_sign_is_closed_on_our_own_server_alone_and_once_it_is_old(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other, ended = server.run(Running()), server.run(Running(), of=foreign), server.run(Completed())
    under, made = server.below(root)
    _, late = server.below(ended)
    assert server.close(own=True) == [], "it may just have begun"
    monkeypatch.setattr(left_running, "DEAD_AFTER_S", -1.0)
    assert server.close(own=False) == [], "it may be another workspace's"
    assert len(server.close(own=True)) == 2
    assert (server.state(root), server.state(under), server.task_state(made)) == ("Crashed",) * 3
    assert (server.state(ended), server.task_state(late)) == ("Completed", "Completed"), "all of it was done"
    assert server.state(other) == "Running"
    server.client.set_flow_run_state(other, Completed())


def test_a_deployment_s_slot_is_free_again_and_what_waits_for_it_stays(server: Server) -> None:
    flow_id = server.client.create_flow(study)
    deployment = server.client.create_deployment(flow_id, "slots", concurrency_limit=1)
    first, second = (server.client.create_flow_run_from_deployment(deployment, name=server.name).id for _ in range(2))
    server.client.set_flow_run_state(first, Pending())
    server.client.set_flow_run_state(second, Pending())  # refused: no slot
    assert (server.state(first), server.state(second)) == ("Pending", "AwaitingConcurrencySlot")
    with serving(server.workspace):
        assert server.close(own=True) == [], "the process that serves the deployment is about to start it"
    assert not is_served(server.workspace)
    assert "was left Pending in Prefect" in server.close(own=True)[0]
    assert server.state(first) == "Crashed" and server.state(second) != "Crashed"
    server.client.set_flow_run_state(second, Pending())
    assert server.state(second) == "Pending"
    server.client.set_flow_run_state(second, Crashed(message="of this test"))
