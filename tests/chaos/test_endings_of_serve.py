"""However `saeflow serve` ends, and its runs: nothing is left running, and no slot of a deployment is held.

All of it is in `make endings`: tests/flows/test_serve.py and test_left_running.py have what needs no second `serve`.
"""

from pathlib import Path

import pytest

from tests.chaos.endings import Serve, end_at_once
from tests.chaos.scene import Scene
from tests.databases import CopyDatabases

pytestmark = [pytest.mark.timeout(900), pytest.mark.endings]


@pytest.fixture
def served(mini_workspace: Path, tmp_path: Path, copy_databases: CopyDatabases) -> Serve:
    """`saeflow serve` that has begun, over a workspace of its own."""
    serve = Serve(Scene.beside(mini_workspace, tmp_path, copy_databases))
    serve.begin()
    return serve


def test_its_runs_end_before_its_servers_and_a_third_run_starts(served: Serve) -> None:
    served.train_at(["threads"])
    served.end_one("threads", "kill-run")
    served.train_at(["threads"])
    served.end_one("threads", "cancel")
    served.train_at(["threads"])  # two slots, and two runs that had them
    served.end("sigint")


def test_a_kill_leaves_no_process_and_the_next_start_closes_what_it_left(served: Serve) -> None:
    served.train_at(["threads"])
    served.end("kill")
    assert "full-analysis mini: Running" in served.scene.open_in_prefect()
    served.begin()
    told = served.scene.terminal()
    assert "full-analysis mini was left Running in Prefect and its process" in told
    served.train_at(["threads"])
    end_at_once(served)
    assert "ended at once; the next start closes what is open" in served.scene.terminal()
