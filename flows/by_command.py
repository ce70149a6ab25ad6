"""Run a study from another program, such as a notebook: by the command `saeflow run`, in a process of its own.

A flow needs one: Prefect reads its settings when it is imported, signals belong to the main thread, and the run works
in another folder and environment than the program around it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from core.planning.study import Study
from core.planning.survey import survey
from core.store.workspace import Workspace
from flows.runtime.profiles import load_profile
from flows.runtime.settings import open_profile_path, open_study

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 1.0
_ERROR = "error: "
"""How the command begins to tell why it failed."""


class RunFailed(RuntimeError):
    """A run did not come to its end; the message is what the command told."""


def run_study(study: Study | Path | str, overrides: Sequence[str], cluster: str, workspace: Workspace) -> str:
    """Run a study to its end, print what the command prints, and return the key of the variant.

    Raises:
        BadInput: the study or the profile is wrong.
        RunFailed: the run failed.
        KeyboardInterrupt: it was stopped; the run has written its checkpoints by then.
    """
    profile = open_profile_path(cluster)
    load_profile(profile)
    with tempfile.TemporaryDirectory() as folder:
        place = str(study) if not isinstance(study, Study) else _written(study, Path(folder))
        opened = open_study(place, overrides, workspace)
        words = ["run", place, "--cluster", str(profile), *(word for item in overrides for word in ("--set", item))]
        _command(words, workspace)
    plan = survey(opened, workspace).plan
    assert plan is not None, "the run has ended, yet its samples are not there"
    return plan.key


def die_with_parent() -> None:
    """Let this process be asked to end when its parent ends: to be called in a child that was just forked."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _written(study: Study, folder: Path) -> str:
    path = folder / f"{study.name}.yaml"
    path.write_text(json.dumps(open_study(study).model_dump(mode="json")), encoding="utf-8")  # JSON is YAML
    return str(path)


def _command(words: Sequence[str], workspace: Workspace) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", *words],
        env={**os.environ, "SAEFLOW_WORKSPACE": str(workspace.root), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a terminal's Ctrl-C comes through us, once
        preexec_fn=die_with_parent,
    ) as child:
        stopped = _follow(child, lines)
    if stopped:
        raise KeyboardInterrupt
    if child.returncode:
        raise RunFailed(_reason(lines) or f"saeflow {' '.join(words)} ended with code {child.returncode}")


def _follow(child: "subprocess.Popen[str]", lines: list[str]) -> bool:
    """Print what the command prints until it ends; whether it was stopped by Ctrl-C, which it is told of."""
    arrived: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(child, arrived), daemon=True).start()
    stopped = False
    while True:
        try:
            # Not read here: a Ctrl-C just before a read that waits would be seen only when the command prints again.
            line = arrived.get(timeout=_LOOK_EVERY_S)
            if line is None:
                return stopped
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
        except Empty:
            continue
        except KeyboardInterrupt:
            stopped = True
            child.send_signal(signal.SIGINT)


def _read(child: "subprocess.Popen[str]", arrived: "SimpleQueue[str | None]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        arrived.put(line)
    child.wait()
    arrived.put(None)


def _reason(lines: Sequence[str]) -> str:
    """The command's last error, which may have several lines."""
    begins = [place for place, line in enumerate(lines) if line.startswith(_ERROR)]
    return "".join(lines[begins[-1] :]).removeprefix(_ERROR).strip() if begins else ""
