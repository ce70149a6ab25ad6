"""`import saeflow`: light, typed by what it names, and never on top of somebody else's `core`."""

import subprocess
import sys
from pathlib import Path

import pytest

import saeflow
from tests.flows.commands import PROJECT

HEAVY = ("torch", "transformers", "prefect", "mlflow", "altair", "sklearn", "polars", "numpy", "pydantic", "dask")
PUBLIC = [
    *(
        "ActivationLoader",
        "Analysis",
        "AnalysisInputs",
        "BadInput",
        "Control",
        "Estimate",
        "Figure",
        "LayerView",
        "Result",
        "Section",
    ),
    *("Source", "Study", "captions", "catalogue", "factored", "lens", "lm", "open", "open_store", "probes", "run"),
]
TOOLS = ("captions", "catalogue", "factored", "lens", "lm", "probes")
"""Modules of their own, with public names of their own."""


def python(code: str, folder: Path = PROJECT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)


def test_importing_it_loads_nothing_heavy() -> None:
    loaded = python(f"import saeflow, sys; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded.stdout.strip() == "[]", loaded.stderr


def test_declaring_an_analysis_loads_no_library_of_arrays() -> None:
    arrays = ("torch", "transformers", "prefect", "mlflow", "altair", "sklearn", "polars", "numpy")
    code = (
        f"import sys; from saeflow import Analysis, Section; print([name for name in {arrays} if name in sys.modules])"
    )
    assert python(code).stdout.strip() == "[]"


def test_opening_a_study_loads_neither_models_nor_servers(mini_workspace: Path) -> None:
    servers = ("torch", "transformers", "prefect", "mlflow", "altair", "sklearn")
    code = f"import sys, saeflow; saeflow.open('mini', {str(mini_workspace)!r}).samples;"
    assert python(f"{code} print([name for name in {servers} if name in sys.modules])").stdout.strip() == "[]"


def test_every_public_name_is_there_and_no_other() -> None:
    assert dir(saeflow) == saeflow.__all__ == PUBLIC
    assert all(callable(getattr(saeflow, name)) for name in PUBLIC if name not in TOOLS)
    for tool in (getattr(saeflow, name) for name in TOOLS):
        assert all(callable(getattr(tool, name)) for name in tool.__all__)
    with pytest.raises(AttributeError, match="saeflow has no 'opne'; public are ActivationLoader, Analysis, "):
        saeflow.opne  # type: ignore[attr-defined]  # noqa: B018


def test_the_docs_name_every_public_name() -> None:
    table = (PROJECT / "docs" / "python.md").read_text("utf-8").partition("\n## ")[0]
    assert all(f"`{name}`" in table or f"`{name}(" in table for name in PUBLIC)


@pytest.mark.parametrize("name", ["core", "flows"])
@pytest.mark.parametrize("kind", ["package", "folder", "module"])
def test_a_stranger_of_the_same_name_is_refused_with_its_path(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / f"{name}.py" if kind == "module" else tmp_path / name
    if kind == "module":
        place.touch()
    else:
        place.mkdir()
        (place / ("__init__.py" if kind == "package" else "notes.txt")).touch()
    ended = python("import saeflow", folder=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"ImportError: saeflow needs its own package '{name}' in {PROJECT / name}, and Python finds {place}; "
        "rename that one, or start Python in another folder"
    )


def test_python_m_saeflow_is_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "saeflow", "status"]
    environment = {"SAEFLOW_WORKSPACE": str(tmp_path)}
    told = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert "No study has run here yet. Try: saeflow run demo" in told.stdout
