"""Tables in a narrow terminal."""

import io

import polars as pl
import pytest
from rich.console import Console

from cli import printed
from explorer.asking.answer import Answer


def test_where_it_is_narrow_text_folds_and_numbers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(printed, "console", Console(width=60, file=written))
    table = pl.DataFrame(
        {"count": [123456], "density": [0.0853], "position_set": ["first-gendered"], "around": ["a woman sings " * 9]}
    )
    printed.give(Answer("features", (), {"rows": table}), as_json=False, page=None)
    lines = written.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    first = next(line for line in lines if "123,456" in line)
    assert "0.0853" in first and "first-gendered" in first
    assert written.getvalue().count("woman") == 9
