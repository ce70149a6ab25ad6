"""What a look at features answers: sentences and tables."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

_PAGE = Path(__file__).with_name("answer.html.j2")


@dataclass(frozen=True)
class Answer:
    """A title, sentences, and tables by name.

    Columns `low` and `high` are the interval of `mean`; `x_low` and `x_high` are that of `x`.
    """

    title: str
    lines: tuple[str, ...] = ()
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold of it: numbers that are none are null."""
        tables = {name: [plain(row) for row in table.to_dicts()] for name, table in self.tables.items()}
        return {"title": self.title, "lines": list(self.lines), "tables": tables}

    def page(self) -> str:
        """A page of its own, which needs no other file."""
        template = jinja2.Environment(autoescape=True).from_string(_PAGE.read_text("utf-8"))
        tables = {
            name: (names_of(table), [cells(row) for row in table.to_dicts()]) for name, table in self.tables.items()
        }
        return template.render(title=self.title, lines=self.lines, tables=tables)


def names_of(table: pl.DataFrame) -> list[str]:
    """The columns that are shown: an interval stands in its value's cell."""
    return [name for name in table.columns if not (name.endswith(("low", "high")) and table[name].dtype.is_float())]


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row's values as text, an interval beside its value."""
    shown = []
    for name, value in row.items():
        if name in ("low", "high") or name.endswith(("_low", "_high")):
            continue
        low, high = (row.get(end if name == "mean" else f"{name}_{end}") for end in ("low", "high"))
        interval = f" [{_word(low)}, {_word(high)}]" if _is_there(low) and _is_there(high) else ""
        shown.append(_word(value) + interval)
    return shown


def _is_there(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def _word(value: Any) -> str:
    if not _is_there(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
