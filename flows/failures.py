"""Why a run failed, in the words of the user's terminal: in the pipeline log, and without Prefect's traceback."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run as prefect_flow_run
from rich.markup import escape

from core.errors import BadInput
from flows.cancelling import end_as_cancelled
from flows.stages import StageFailed

_log = logging.getLogger("saeflow.flows")
# Prefect logs the error that ends a run by itself.
_SHOWN_BY_PREFECT = {"send_to_api": False}


def words_of(error: BaseException) -> str:
    """The error's message, and where more is to be read."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


@contextmanager
def logged_run(study: str, cluster: str, log: Path) -> Iterator[None]:
    """Write when a study's run begins and how it ends; an error carries the log's place from there on."""
    what = f"{prefect_flow_run.flow_name or 'run'} {study}"
    where = f"on cluster {cluster}, by process {os.getpid()} on {socket.gethostname()}"
    began = time.monotonic()
    _log.info("%s begins %s; in Prefect %s", what, where, prefect_flow_run.ui_url or "not shown")
    try:
        yield
    except Exception as error:
        why = str(error) if isinstance(error, BadInput | StageFailed) else f"{type(error).__name__}: {error}"
        _log.error("%s failed after %.0f s: %s", what, time.monotonic() - began, why, extra=_SHOWN_BY_PREFECT)
        error.add_note(f"pipeline log: {log}")
        raise
    except BaseException as error:
        _log.warning("%s was stopped after %.0f s (%s)", what, time.monotonic() - began, type(error).__name__)
        raise
    _log.info("%s is done after %.0f s", what, time.monotonic() - began)


class _WithoutTraceback(logging.Filter):
    """Shows bad input and failed units once, by their message instead of a traceback, and nothing as rich's markup, in
    which `prefect deployment run --watch` prints what it is sent: of `[/data]` it would die."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; false for an error that Prefect tells of a second time, as its process ends."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, BadInput | StageFailed):
            record.msg, record.args = escape(record.getMessage()), ()
            return True
        record.msg, record.args, record.exc_info = escape(words_of(error)), (), None
        first, self._shown = error is not self._shown, error
        return first


_NO_TRACEBACKS = _WithoutTraceback()


def hide_tracebacks() -> None:
    """Let Prefect's loggers of flow and task runs show errors that the user can fix, without a traceback."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_NO_TRACEBACKS)  # the same one counts once


def log_crash(flow: Any, flow_run: Any, state: Any) -> None:
    """Prefect's hook: the reason why a run's process ended, for whoever watches the run."""
    if end_as_cancelled(flow_run):
        reason = f"{flow_run.name} was cancelled"
    else:
        reason = f"{flow_run.name} crashed: {escape(state.message or state.name)}"
    _log.error(reason, extra={"flow_run_id": str(flow_run.id)})
