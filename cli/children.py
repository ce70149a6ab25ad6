"""Child processes: each ends with this one, and is stopped with everything that it started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from core.errors import BadInput
from flows.by_command import die_with_parent

# The first start makes the database: 38 s were seen on two busy cores.
START_LIMIT_S = 180.0
STOP_LIMIT_S = 10.0
# `flows.serve` ends by itself within 90 s, whatever its runs do.
STOP_DEPLOYMENTS_S = 100.0


def start(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that dies with this process, its output going to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def stop(child: subprocess.Popen[bytes], limit_s: float = STOP_LIMIT_S) -> None:
    """End a child and everything it started: asked first, then killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    _end_within(child, limit_s)


def stop_alone(child: subprocess.Popen[bytes], limit_s: float) -> None:
    """End a child that ends what it started itself; what is left of them after a while is killed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(child.pid).children(recursive=True)
        child.terminate()
        _end_within(child, limit_s)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()  # psutil knows a later process of the same number from this one


def _end_within(child: subprocess.Popen[bytes], limit_s: float) -> None:
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait_for(child: subprocess.Popen[bytes], ready: Callable[[], bool], name: str, log: Path) -> None:
    """Wait until a child is ready.

    Raises:
        BadInput: it ended, or took longer than three minutes; the message names its log.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            tail = " / ".join(log.read_text("utf-8", "replace").splitlines()[-3:])
            raise BadInput(f"{name} did not start; its log is {log}: {tail}")
        time.sleep(0.2)
