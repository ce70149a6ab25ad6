"""A workspace in which a study is in the middle of its training, and what a look from outside finds there."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from safetensors import SafetensorError, safe_open

from core.sae.state import CHECKPOINT
from tasks.lease import read_lease
from tests.databases import CopyDatabases
from tests.flows.commands import PROJECT, environment

# Many minutes of training with a checkpoint about every second, and nothing to analyse after it.
_SAE = {"epochs": 5000, "checkpoint_every": 20}
_OPEN = "('RUNNING', 'PENDING', 'CANCELLING', 'SCHEDULED')"


def wait_until(true: Callable[[], bool], what: str, limit_s: float = 180.0) -> float:
    """Wait for something that other processes do; how many seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < limit_s, f"waited {limit_s:.0f} s in vain for {what}"
        time.sleep(0.1)
    return time.monotonic() - began


def long_training(seed: int = 0) -> dict[str, Any]:
    """`mini`, training for minutes: as fields, for a deployment's parameter. Studies of other seeds share no SAE."""
    path = PROJECT / "deployments" / "studies" / "mini.yaml"
    study: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    study["model"]["path"] = str((path.parent / study["model"]["path"]).resolve())
    study["sae"] |= {**_SAE, "seed": seed}
    study["analyses"] = dict.fromkeys(study["analyses"])
    return study


@dataclass(frozen=True)
class Scene:
    """A workspace in which everything before the training of `long_training` is made."""

    workspace: Path

    @classmethod
    def beside(cls, mini: Path, workspace: Path, copy_databases: CopyDatabases) -> "Scene":
        """A new workspace with `mini`'s artefacts, linked, and databases in which nothing has run."""
        for step in ("prepare", "capture", "extract_layer"):
            shutil.copytree(mini / "artifacts" / step, workspace / "artifacts" / step, copy_function=os.link)
        copy_databases(workspace)
        (workspace / "study.yaml").write_text(yaml.safe_dump(long_training()), encoding="utf-8")
        return cls(workspace)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a `saeflow` command, as a shell does."""
        command = [sys.executable, "-m", "cli", *words]
        with (self.workspace / "terminal.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment(self.workspace),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def terminal(self) -> str:
        """What all commands have printed."""
        return (self.workspace / "terminal.log").read_text("utf-8", "replace")

    def steps(self) -> dict[str, int]:
        """How far the checkpoints of the training are, by folder."""
        found = {}
        for path in (self.workspace / "artifacts" / "train_sae").glob(f".*.checkpoint/{CHECKPOINT}"):
            with suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
                found[path.parent.name] = int(json.loads(file.metadata()["scalars"])["step"])
        return found

    def wait_for_training(self, before: dict[str, int], layers: int = 2) -> None:
        """Wait until checkpoints of so many layers are further than `before`; none may be less far on the way."""

        def further() -> bool:
            now = self.steps()
            assert all(now.get(name, 0) >= step for name, step in before.items()), "it began anew"
            return sum(step > before.get(name, 0) for name, step in now.items()) >= layers

        wait_until(further, f"training to go on from {before}; the terminal:\n{self.terminal()[-2000:]}")

    def processes(self) -> list[str]:
        """The command lines of all processes that work for this workspace."""
        return [line for process in psutil.process_iter() if (line := _line(process, self.workspace))]

    def open_in_prefect(self) -> list[str]:
        """Runs and task runs that Prefect shows as going on."""
        with sqlite3.connect(self.workspace / "prefect" / "prefect.db") as database:
            asked = (f"select name, state_name from {table} where state_type in {_OPEN}" for table in _TABLES)
            return [f"{name}: {state}" for words in asked for name, state in database.execute(words)]

    def latest_state(self) -> str:
        """The name of the state of the study run that began last."""
        asked = "select state_name from flow_run where parent_task_run_id is null order by start_time desc limit 1"
        with sqlite3.connect(self.workspace / "prefect" / "prefect.db") as database:
            return str(database.execute(asked).fetchone()[0])

    def open_in_mlflow(self) -> list[str]:
        """The names of MLflow's runs that are shown as going on."""
        with sqlite3.connect(self.workspace / "mlflow.db") as database:
            return [str(name) for (name,) in database.execute("select name from runs where status = 'RUNNING'")]

    def leases(self) -> list[str]:
        """The units that a living process holds."""
        return [path.name for path in (self.workspace / "artifacts").glob("*/.*.lease") if read_lease(path)]


_TABLES = ("flow_run", "task_run")


def _line(process: psutil.Process, workspace: Path) -> str:
    with suppress(psutil.Error):
        mine = process.environ().get("SAEFLOW_WORKSPACE") == str(workspace)
        if mine and process.status() != psutil.STATUS_ZOMBIE:
            return " ".join(process.cmdline())
    return ""
