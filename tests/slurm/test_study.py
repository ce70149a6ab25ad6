"""A study on a real SLURM: killed, resumed, and equal to one that ran on threads."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.store.ledger import JobCost, hours_by_stage, ledger_path, read
from flows.slurm import commands
from tests.chaos.kill import contents, kill_family, left_open
from tests.databases import CopyDatabases
from tests.flows.commands import FEWER, environment, latest_report, saeflow, saeflow_here
from tests.flows.surroundings import ODD_NAME, hostile
from tests.slurm.conftest import wait_until

pytestmark = pytest.mark.timeout(1200)
ON_SLURM = ("run", "mini", "--cluster", "slurm-one-node", *FEWER)


def start(workspace: Path, surroundings: dict[str, str]) -> "subprocess.Popen[bytes]":
    with (workspace.parent / "run.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *ON_SLURM],
            env=environment(workspace) | surroundings,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def running(stage: str) -> bool:
    return any(job.name.endswith(stage) and job.state == "RUNNING" for job in commands.my_jobs())


def test_killed_and_resumed_it_equals_a_study_on_threads(
    tmp_path: Path, slurm: Path, copy_databases: CopyDatabases, request: pytest.FixtureRequest
) -> None:
    workspace, surroundings = tmp_path / ODD_NAME, hostile(tmp_path / "home")
    copy_databases(workspace)

    child = start(workspace, surroundings)
    wait_until(lambda: running("train_sae"), 240)
    kill_family(child.pid)
    child.wait()
    wait_until(lambda: commands.my_jobs() == [], 75)  # death_timeout, and the controller's own slowness

    done = saeflow(workspace, *ON_SLURM, limit_s=600, more=surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    calm: Path = request.getfixturevalue("mini_workspace")  # which another process makes in the meantime
    on_slurm, on_threads = contents(workspace), contents(calm)
    differ = [ref for ref, files in on_slurm.items() if on_threads.get(ref) != files]
    assert [ref for ref in differ if not ref.startswith("report/")] == []  # the report names what was left out
    assert sum(ref.startswith("train_sae/") for ref in on_slurm) == 4
    assert commands.my_jobs() == []
    assert left_open(workspace, "saeflow-mini") == [], "what the kill left open is closed at resume"

    asked = hours_by_stage(read(ledger_path(workspace, "mini"), JobCost))
    first = {"prepare", "capture", "extract_layer", "train_sae", "index_features", "rank_features", "describe_features"}
    assert set(asked) == {*first, "analyse", "report"}
    on_gpus = ("capture", "train_sae", "describe_features", "analyse")
    assert all(gpu > 0 for stage, (_, _, gpu) in asked.items() if stage in on_gpus)
    assert asked["extract_layer"][2] == 0
    assert "Asked of the cluster, and used" in (latest_report(workspace) / "report.html").read_text("utf-8")

    before = commands.call(["sacct", "--completion", "--noheader"]).count("\n")
    again = saeflow_here(workspace, *ON_SLURM)
    assert "everything is there already" in again.stdout
    assert commands.call(["sacct", "--completion", "--noheader"]).count("\n") == before
