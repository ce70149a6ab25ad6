"""However a run ends: no process is left, Prefect and MLflow know, checkpoints are written, and the next one goes on.

Cancelled from Prefect, a run ends as by SIGTERM; tests/slurm/test_every_ending.py has every way at every place.
"""

from pathlib import Path

import pytest

from tests.chaos.endings import end_run
from tests.chaos.scene import Scene
from tests.databases import CopyDatabases

pytestmark = pytest.mark.timeout(900)


def test_a_run_that_is_ended_leaves_nothing_and_the_next_goes_on(
    mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    scene = Scene.beside(mini_workspace, tmp_path, copy_databases)
    end_run(scene, "threads", "cancel")
