"""However a run ends: no process is left, Prefect and MLflow know, checkpoints are written, and the next one goes on.

tests/slurm/test_endings.py has SLURM, and `saeflow serve`.
"""

from pathlib import Path

import pytest

from tests.chaos.endings import RUN_WAYS, check_closed, end_run
from tests.chaos.scene import Scene
from tests.databases import CopyDatabases

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("place", ["threads", "local"])
def test_a_run_that_is_ended_leaves_nothing_and_the_next_goes_on(
    place: str, mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    scene = Scene.beside(mini_workspace, tmp_path, copy_databases)
    for way in RUN_WAYS:  # each run goes on where the one before was ended; the second closes what kill -9 left open
        end_run(scene, place, way)
    assert "was left Running in Prefect and its process" in scene.terminal()
    check_closed(scene)
