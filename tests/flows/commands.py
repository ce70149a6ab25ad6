"""The real `saeflow` and `prefect` commands, in processes of their own or in this one, which has imported all."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

PROJECT = Path(__file__).resolve().parents[2]
# Two of mini's analyses stand for all seven: what SLURM or a kill could change of one, it would change of these.
LEFT_OUT = ("interpretation", "amplification", "visual_patterns", "evolution", "qualitative")
FEWER = tuple(word for name in LEFT_OUT for word in ("--set", f"analyses.{name}=null"))


def environment(workspace: Path) -> dict[str, str]:
    """What a user's shell would hold."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_", "SAEFLOW_"))}
    return {**kept, "SAEFLOW_WORKSPACE": str(workspace), "COLUMNS": "200"}


def saeflow(
    workspace: Path, *words: str, limit_s: float = 600, more: Mapping[str, str] | None = None, api: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a `saeflow` command to its end; `more` is what else its shell holds, `api` a Prefect server that is there."""
    command = [sys.executable, "-m", "cli", *words]
    shell = environment(workspace) | dict(more or {}) | ({"PREFECT_API_URL": api} if api else {})
    return subprocess.run(command, cwd=PROJECT, env=shell, capture_output=True, text=True, timeout=limit_s)


def saeflow_here(
    workspace: Path | str, *words: str, more: Mapping[str, str] | None = None, api: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a `saeflow` command to its end as its own process would, in this one: a third of the CPU.

    One that runs a flow needs `api`, the server of `prefect_server`: what Prefect reads when it is imported is the
    first one's.
    """
    from cli.main import main

    out, error, code = io.StringIO(), io.StringIO(), 0
    shell = environment(Path(workspace)) | dict(more or {}) | ({"PREFECT_API_URL": api} if api else {})
    with (
        mock.patch.dict(os.environ, shell, clear=True),
        mock.patch.object(sys, "argv", ["saeflow", *words]),
        chdir(Path.cwd()),  # a run works elsewhere
        redirect_stdout(out),
        redirect_stderr(error),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(["saeflow", *words], code, out.getvalue(), error.getvalue())


def latest_report(workspace: Path) -> Path:
    """The folder of the report that was published last: a variant has its own."""
    return max((workspace / "reports").iterdir(), key=lambda folder: folder.lstat().st_mtime_ns)
