"""The count of rooms and circles, on planted trees; tests/test_house.py holds the checkout to it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FLOORS = """
[[tool.importlinter.contracts]]
name = "floors"
type = "layers"
layers = ["core.planning", "core.analysis | core.causal", "core.store"]

[[tool.importlinter.contracts]]
name = "apart"
type = "forbidden"
source_modules = ["tasks"]
forbidden_modules = ["core.errors"]
"""
HOUSE = {
    "core/__init__.py": "",
    "core/errors.py": "",
    "core/store/__init__.py": "",
    "core/store/artifacts.py": "from core import errors",
    "core/causal/__init__.py": "",
    "core/analysis/__init__.py": "",
    "core/analysis/registry.py": "",
    "core/analysis/overview/__init__.py": "from core.analysis import registry",
    "core/planning/__init__.py": "from core.store.artifacts import read",
    "core/planning/builders/__init__.py": "import core.planning",
    "tasks/__init__.py": "",
    "pyproject.toml": FLOORS,
}
"""Rooms: core.errors, store, causal, analysis, analysis.overview, planning (with its builders), tasks."""


def told(root: Path, changed: dict[str, str], *options: str) -> str:
    """What the command prints of the planted house with some of its files changed."""
    for name, text in {**HOUSE, **changed}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "infra.import_graph", str(root), *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_rooms_and_the_imports_between_them_are_counted(tmp_path: Path) -> None:
    found = told(tmp_path, {}, "--list")
    assert "7 rooms 3 imports between rooms (3 between their modules)" in found
    assert "(6 and 2, with all analyses as one room and all of flows/ as one)" in found
    assert "0 circles between rooms 0 circles between files 0 imports against the floors" in found
    assert found.endswith(
        "1 core.analysis.overview → core.analysis 1 core.planning → core.store 1 core.store → core.errors"
    )


def test_two_modules_that_import_one_module_make_one_import_between_rooms(tmp_path: Path) -> None:
    found = told(tmp_path, {"core/planning/builders/rows.py": "import core.store.artifacts"}, "--list")
    assert "7 rooms 3 imports between rooms (4 between their modules)" in found
    assert "2 core.planning → core.store" in found


@pytest.mark.parametrize(
    "statement",
    [
        "from core.planning.builders import rows",
        "def late():\n    import core.planning.builders.rows",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from core.planning.builders.rows import Row",
    ],
)
def test_a_circle_of_rooms_is_found_where_no_file_is_in_one(tmp_path: Path, statement: str) -> None:
    found = told(tmp_path, {"core/store/steps.py": statement, "core/planning/builders/rows.py": ""})
    assert "1 circles between rooms core.planning ↔ core.store" in found
    assert "core.store.steps → core.planning.builders.rows" in found
    assert "0 circles between files" in found


def test_a_circle_of_files_within_a_room_is_no_circle_of_rooms(tmp_path: Path) -> None:
    inside = {"core/store/one.py": "import core.store.two", "core/store/two.py": "import core.store.one"}
    found = told(tmp_path, inside)
    assert "0 circles between rooms 1 circles between files core.store.one ↔ core.store.two" in found


def test_imports_against_the_floors_are_named(tmp_path: Path) -> None:
    up = {"core/store/units.py": "import core.causal", "core/causal/runs.py": "import core.analysis.registry"}
    found = told(tmp_path, {**up, "tasks/step.py": "import core.errors"})
    assert "3 imports against the floors" in found
    for line in ("core.store.units → core.causal", "core.causal.runs → core.analysis.registry"):
        assert line in found
    assert "tasks.step → core.errors" in found
