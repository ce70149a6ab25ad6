"""Every way a run ends, at every place: `make endings`, about half an hour on two cores.

`make test-all` has two of these cells: tests/chaos/test_endings.py and tests/slurm/test_study.py.
"""

from pathlib import Path

import pytest

from flows.slurm import commands
from tests.chaos.endings import PLACES, RUN_WAYS, SERVE_WAYS, Serve, check_closed, end_run
from tests.chaos.scene import Scene, wait_until
from tests.databases import CopyDatabases

pytestmark = [pytest.mark.timeout(1200), pytest.mark.endings]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_is_ended_leaves_nothing_and_the_next_goes_on(
    place: str, slurm: Path, mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    scene = Scene.beside(mini_workspace, tmp_path, copy_databases)
    for way in RUN_WAYS:  # each run goes on where the one before was ended; the second closes what kill -9 left open
        print(f"run    {place:15} {way:9} {end_run(scene, place, way)}")
        no_jobs()
    assert "was left Running in Prefect and its process" in scene.terminal()
    check_closed(scene)


@pytest.mark.parametrize("place", PLACES)
def test_a_deployment_s_run_that_is_ended_leaves_nothing_and_the_next_goes_on(
    place: str, slurm: Path, mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    served = Serve(Scene.beside(mini_workspace, tmp_path, copy_databases))
    for way in SERVE_WAYS:
        served.begin()
        served.train_at([place])
        one = way in ("cancel", "kill-run")
        told = served.end_one(place, way) if one else served.end(way)
        if one:
            served.end("sigint")
        no_jobs()
        print(f"serve  {place:15} {way:9} {told}")


def no_jobs() -> None:
    wait_until(lambda: commands.my_jobs() == [], "SLURM's jobs to end", 90)
