"""Commands are there by name, and one imports nothing that another needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import PLACES, Commands, told
from tests.explorer.world import World, make_world
from tests.flows.commands import PROJECT, environment, saeflow_here

STARTED = """
import json, sys, uvicorn
uvicorn.Server.run = lambda self, sockets: print(json.dumps(sorted(sys.modules)), file=sys.stderr)
from cli.main import main
sys.argv = ["saeflow", "explore", "--port", "0", *sys.argv[1:]]
main()
"""
NEEDLESS = {
    *("torch", "transformers", "safetensors", "scipy", "sklearn", "altair", "pandas", "zarr", "emoji"),
    *("prefect", "mlflow", "dask", "distributed", "sqlalchemy", "httpx", "mcp"),
    *("cli.run", "cli.feature", "tasks.experiment", "core.planning.study", "core.study.section", "core.data.samples"),
}
"""What takes a tenth of a second or more to import, or leads to what does."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("explored") / "workspace", tmp_path_factory.mktemp("layer"))


def loaded(world: World, *words: str) -> set[str]:
    """What `saeflow explore` has imported when it starts to answer."""
    command = [sys.executable, "-c", STARTED, *words]
    shell = environment(world.workspace.root)
    done = subprocess.run(command, cwd=PROJECT, env=shell, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "explorer http://127.0.0.1:" in done.stdout
    return set(json.loads(done.stderr))


@pytest.mark.parametrize("words", [(), ("cats", "--layer", "0")])
def test_the_explorer_answers_before_anything_is_imported_that_reading_does_not_need(
    world: World, words: tuple[str, ...]
) -> None:
    found = loaded(world, *words)
    assert {"fastapi", "polars", "explorer.dashboard.pages"} <= found
    assert sorted(found & NEEDLESS) == []


def test_every_command_of_the_help_is_there(tmp_path: Path) -> None:
    group = Commands(name="saeflow")
    for name, command in group.commands.items():
        assert command.name == name and command.help == told(PLACES[name])
        assert name in saeflow_here(tmp_path, "--help").stdout
    assert len(group.commands) == 22
    assert set(group.commands["store"].commands) and not hasattr(group.commands["gc"], "commands")


def test_help_imports_no_command() -> None:
    code = "import sys; from cli.main import main; sys.argv = ['saeflow', '--help']\n"
    code += "try: main()\nexcept SystemExit: print(sorted(name for name in sys.modules if name in %r), file=sys.stderr)"
    heavy = ("torch", "scipy", "altair", "transformers", "cli.run", "cli.concept")
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], cwd=PROJECT, capture_output=True, text=True)
    assert "Run a study to its report" in done.stdout and done.stderr.strip() == "[]"


def test_a_command_that_is_not_there_is_told_with_one_that_is(tmp_path: Path) -> None:
    told = saeflow_here(tmp_path, "exlpore")
    assert told.returncode == 2 and "Did you mean 'explore'" in told.stderr
    assert list(tmp_path.iterdir()) == []
