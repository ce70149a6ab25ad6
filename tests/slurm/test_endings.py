"""However a study on SLURM ends, and however `saeflow serve` does: nothing is left running, no slot is held."""

from pathlib import Path

import pytest

from flows.slurm import commands
from tests.chaos.endings import RUN_WAYS, Serve, check_closed, end_run
from tests.chaos.scene import Scene, wait_until
from tests.databases import CopyDatabases

pytestmark = pytest.mark.timeout(1200)
SLURM = "slurm-one-node"


def no_jobs() -> None:
    wait_until(lambda: commands.my_jobs() == [], "SLURM's jobs to end", 90)


def test_a_run_that_is_ended_takes_its_jobs_back_and_the_next_goes_on(
    slurm: Path, mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    scene = Scene.beside(mini_workspace, tmp_path, copy_databases)
    for way in RUN_WAYS:
        end_run(scene, SLURM, way)
        no_jobs()
    check_closed(scene)


def test_serve_that_is_ended_ends_its_runs_and_a_third_run_starts(
    slurm: Path, mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    scene = Scene.beside(mini_workspace, tmp_path, copy_databases)
    served = Serve(scene)
    served.begin()
    served.train_at(["threads", SLURM])
    served.end_one("threads", "kill-run")
    served.end_one(SLURM, "cancel")
    no_jobs()
    served.train_at(["local", SLURM])  # two slots, and two runs that had them
    served.end("sigint")
    no_jobs()

    served.begin()
    served.train_at(["local"])
    served.end_one("local", "cancel")
    served.train_at(["threads", SLURM])
    served.end("sigterm")
    no_jobs()

    served.begin()
    served.train_at(["local", SLURM])
    served.end("kill")
    no_jobs()
    assert len([line for line in scene.open_in_prefect() if line == "full-analysis mini: Running"]) == 2
    served.begin()
    assert scene.terminal().count("was left Running in Prefect and its process") >= 2
    served.end("sigint")
    check_closed(scene)
