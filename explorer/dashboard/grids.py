"""Small tables as pages show them: values in words, an interval beside its value, links where a cell names a page."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import polars as pl

from explorer.dashboard import words

_PROBABILITIES = {"p", "q"}
_SHARES = {"density", "share", "firing"}
_ENDS = ("low", "high")


class Link(NamedTuple):
    """A cell that leads to a page."""

    words: str
    link: str


class Grid(NamedTuple):
    """Columns, those that hold numbers, and the cells of each row."""

    columns: tuple[str, ...]
    numeric: frozenset[str]
    rows: tuple[Mapping[str, str | Link], ...]


def grid(
    table: pl.DataFrame,
    columns: tuple[str, ...],
    links: Mapping[str, Callable[[Mapping[str, Any]], str]] | None = None,
    of: str = "",
) -> Grid:
    """These columns of a table, as far as it has them.

    `low` and `high` are the interval of the column `of`, `x_low` and `x_high` that of `x`: both stand in its cell.
    """
    shown = tuple(name for name in columns if name in table.columns)
    numeric = frozenset(name for name in shown if table[name].dtype.is_numeric())
    known = links or {}
    rows = tuple({name: _cell(row, name, known.get(name), of) for name in shown} for row in table.iter_rows(named=True))
    return Grid(shown, numeric, rows)


def _cell(row: Mapping[str, Any], name: str, link: Callable[[Mapping[str, Any]], str] | None, of: str) -> str | Link:
    said = _said(row, name, of)
    return said if link is None or row[name] is None else Link(said, link(row))


def _said(row: Mapping[str, Any], name: str, of: str) -> str:
    value = row[name]
    if name in _PROBABILITIES:
        return words.probability(value)
    if name == "language":
        return words.language(value)
    if name == "token":
        return words.token(value)
    if name in ("feature", "neighbour", "partner", "layer", "next_feature", "next_layer"):
        return str(value)
    if name in _SHARES and isinstance(value, float):
        return words.percent(value)
    low, high = (end if name == of else f"{name}_{end}" for end in _ENDS)
    return words.interval(row, name, low, high)
