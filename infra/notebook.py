"""Execute docs/notebook.ipynb in place, over the demo of a workspace: `python -m infra.notebook WORKSPACE`.

A cell shows the value of its last line as Jupyter does, and what it prints. No Jupyter is needed.
"""

import ast
import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"
_PICTURE_WIDTH = 520
_REPRS = {"text/html": "_repr_html_"}


def executed(notebook: Mapping[str, Any], replaced: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The notebook with each code cell's outputs as its run leaves them.

    Args:
        notebook: the parsed JSON, nbformat 4.
        replaced: text of the cells to run as another, such as the study's name.

    Raises:
        Exception: what a cell raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            source = "".join(cell["source"])
            for old, new in (replaced or {}).items():
                source = source.replace(old, new)
            cell = {**cell, "execution_count": count, "outputs": _outputs(source, names, count)}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last line where that is an expression."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "docs/notebook.ipynb", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "docs/notebook.ipynb", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        shown = {"data": _shown(value), "metadata": _metadata(value), "execution_count": count}
        found.append({"output_type": "execute_result", **shown})
    return found


def _shown(value: Any) -> dict[str, Any]:
    """A value by MIME type, as Jupyter asks for it."""
    if hasattr(value, "_repr_mimebundle_"):
        bundle = value._repr_mimebundle_()
    else:
        named = {kind: getattr(value, method)() for kind, method in _REPRS.items() if hasattr(value, method)}
        bundle = {**named, "text/plain": repr(value)}
    return {kind: _lines(text) if kind.startswith("text/") else text for kind, text in sorted(bundle.items())}


def _metadata(value: Any) -> dict[str, Any]:
    return {"image/png": {"width": _PICTURE_WIDTH}} if hasattr(value, "_repr_mimebundle_") else {}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def written(notebook: Mapping[str, Any]) -> str:
    """The notebook's JSON as Jupyter writes it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Run the notebook over the demo of a workspace, and write its outputs into it."""
    os.environ["SAEFLOW_WORKSPACE"] = sys.argv[1]
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    NOTEBOOK.write_text(written(executed(notebook)), encoding="utf-8")


if __name__ == "__main__":
    main()
