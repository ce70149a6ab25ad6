"""End a study in the middle of its training in every way, and look at what is left.

python -m tests.chaos.endings --base WORKSPACE-OF-MINI --folder EMPTY --place threads
"""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from safetensors import SafetensorError, safe_open

from core.sae.state import CHECKPOINT
from tests.flows.commands import PROJECT, environment

# Minutes of training in two layers, with a checkpoint every second; nothing after it.
LEFT_OUT = ("overview", "interpretation", "ablation", "amplification", "visual_patterns", "evolution", "qualitative")
FIELDS = {"sae.epochs": 150, "sae.checkpoint_every": 20}
CHANGES = [f"{name}={value}" for name, value in FIELDS.items()] + [f"analyses.{name}=null" for name in LEFT_OUT]
OPEN = "('RUNNING', 'PENDING', 'CANCELLING')"


def wait_until(true: Callable[[], bool], limit_s: float = 120.0, what: str = "") -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"waited in vain {limit_s:.0f} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Scene:
    """A workspace in which everything before the training is made."""

    workspace: Path

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a `saeflow` command as a shell does."""
        with (self.workspace / "terminal.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cli", *words],
                cwd=PROJECT,
                env=environment(self.workspace),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def steps(self) -> dict[str, int]:
        """How far the checkpoints of the training are, by artefact."""
        found = {}
        for path in (self.workspace / "artifacts" / "train_sae").glob(f".*.checkpoint/{CHECKPOINT}"):
            with suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
                found[path.parent.name] = int(json.loads(file.metadata()["scalars"])["step"])
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process that works for this workspace."""
        return [process for process in psutil.process_iter() if _works_for(process, self.workspace)]

    def open_in_prefect(self) -> list[str]:
        """Runs and tasks that Prefect shows as going on."""
        found = []
        with sqlite3.connect(self.workspace / "prefect" / "prefect.db") as database:
            for table in ("flow_run", "task_run"):
                rows = database.execute(f"select name, state_name from {table} where state_type in {OPEN}")
                found += [f"{name}: {state}" for name, state in rows]
        return found

    def states_in_prefect(self) -> list[str]:
        with sqlite3.connect(self.workspace / "prefect" / "prefect.db") as database:
            top = "select name, state_name from flow_run where parent_task_run_id is null order by start_time desc"
            return [f"{name}: {state}" for name, state in database.execute(top)]

    def open_in_mlflow(self) -> list[str]:
        with sqlite3.connect(self.workspace / "mlflow.db") as database:
            return [str(name) for (name,) in database.execute("select name from runs where status = 'RUNNING'")]

    def leases(self) -> list[str]:
        return [path.name for path in (self.workspace / "artifacts").glob("*/.*.lease*")]


def _works_for(process: psutil.Process, workspace: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SAEFLOW_WORKSPACE") == str(workspace)
    except psutil.Error:
        return False
