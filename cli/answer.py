"""What a look at features answers, as tables in the terminal, as JSON, or as a page."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from cli.terminal import console
from core.errors import BadInput

_PAGE = Path(__file__).with_name("answer.html.j2")


@dataclass(frozen=True)
class Answer:
    """A title, sentences, and tables by name.

    Columns `low` and `high` are the interval of `mean`; `x_low` and `x_high` are that of `x`.
    """

    title: str
    lines: tuple[str, ...] = ()
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def give(self, as_json: bool, page: Path | None) -> None:
        """Print it, or write it to `page` and say so.

        Raises:
            BadInput: the page cannot be written.
        """
        if page is not None:
            self._write(page)
        if as_json:
            typer.echo(json.dumps(self._as_json(), indent=1, ensure_ascii=False))
        elif page is None:
            self._print()
        else:
            console.print(f"  {page}", markup=False)

    def _print(self) -> None:
        console.print(f"[bold]{escape(self.title)}[/bold]")
        for line in self.lines:
            console.print(f"  {line}", markup=False)
        for name, table in self.tables.items():
            console.print(_rich(name, table))

    def _as_json(self) -> dict[str, Any]:
        tables = {name: [_plain(row) for row in table.to_dicts()] for name, table in self.tables.items()}
        return {"title": self.title, "lines": list(self.lines), "tables": tables}

    def _write(self, page: Path) -> None:
        template = jinja2.Environment(autoescape=True).from_string(_PAGE.read_text("utf-8"))
        tables = {
            name: (names_of(table), [cells(row) for row in table.to_dicts()]) for name, table in self.tables.items()
        }
        text = template.render(title=self.title, lines=self.lines, tables=tables)
        try:
            page.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"--html {page}: {error.strerror or error}; name a file in a folder that exists") from error


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
        interval = f" [{_word(low)}, {_word(high)}]" if low is not None and high is not None else ""
        shown.append(_word(value) + interval)
    return shown


def _rich(name: str, table: pl.DataFrame) -> Table:
    shown = Table(title=escape(name), title_justify="left", title_style="", box=None, padding=(0, 2, 0, 2))
    for column in names_of(table):
        right = table[column].dtype.is_numeric()
        shown.add_column(escape(column.replace("_", " ")), overflow="fold", justify="right" if right else "left")
    for row in table.to_dicts():
        shown.add_row(*map(escape, cells(row)))
    return shown


def _word(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
