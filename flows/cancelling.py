"""Cancel in Prefect's pages, obeyed by the runs that no runner of Prefect's watches: those of `saeflow run`."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Cancelled

LOOK_EVERY_S = 3.0
_cancelled: set[UUID] = set()


@contextmanager
def cancellable() -> Iterator[None]:
    """While the block runs, a Cancel of this flow run ends it as SIGTERM would; runs of a deployment have a runner."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    alone = run is not None and run.deployment_id is None
    if run is None or not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(run.id, ended), name="cancel-watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()


def _watch(run: UUID, ended: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not ended.wait(LOOK_EVERY_S):
            try:
                state = client.read_flow_run(run).state
            except (PrefectException, httpx.HTTPError, RuntimeError):  # it is asked again
                continue
            if state is not None and state.is_cancelling():
                _cancelled.add(run)
                os.kill(os.getpid(), signal.SIGTERM)  # only the main thread can be interrupted
                return


def end_as_cancelled(flow_run: Any) -> bool:
    """Set a run Cancelled that ended because of `cancellable`; Prefect has it as Crashed. Whether it was one."""
    if flow_run.id not in _cancelled:
        return False
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Cancelled(message="cancelled in Prefect"), force=True)
    return True
