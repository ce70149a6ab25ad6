"""docs/notebook.ipynb runs, and shows what is stored in it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.notebook import NOTEBOOK, executed


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}


def outline(notebook: Mapping[str, Any]) -> list[Any]:
    """Of each code cell its number, the kinds of its outputs, and the columns of its tables."""
    return [
        (
            cell["execution_count"],
            [(one["output_type"], sorted(one.get("data", ()))) for one in cell["outputs"]],
            [
                re.findall("<th>([^<]+)</th>", "".join(one.get("data", {}).get("text/html", "")))
                for one in cell["outputs"]
            ],
        )
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.mark.timeout(900)  # it may be the one that runs the study
def test_every_cell_runs_over_a_study_and_shows_what_is_stored(
    mini_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(mini_workspace))
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    again = executed(stored, {'open("demo")': 'open("mini")'})
    assert outline(again) == outline(stored), "python -m infra.notebook WORKSPACE, where the demo has run"
    assert outline(stored)[-1][1] == [("execute_result", ["image/png", "text/plain"])], "the figure shows itself"


def test_the_notebook_uses_public_names_alone() -> None:
    sources = "\n".join("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"])
    imported = set(re.findall(r"^(?:import|from) (\w+)", sources, re.MULTILINE))
    assert imported == {"saeflow", "torch"}


def test_a_cell_shows_what_it_prints_and_its_last_value() -> None:
    notebook = {"cells": [cell("a = 2\nprint(a)\na + 1"), {"cell_type": "markdown", "source": ["x"]}, cell("a = 5")]}
    first, text, second = executed(notebook)["cells"]
    assert first["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": ["2\n"]},
        {"output_type": "execute_result", "data": {"text/plain": ["3"]}, "metadata": {}, "execution_count": 1},
    ]
    assert text == {"cell_type": "markdown", "source": ["x"]} and second["outputs"] == []


def test_what_a_cell_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        executed({"cells": [cell("1 / 0")]})
