"""An answer of the explorer's as tables in the terminal, as JSON, or as a page; and the options that say which."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from cli.terminal import console
from core.errors import BadInput
from explorer.asking.answer import Answer, cells, names_of

_SHORT = 16
"""Longest text, in characters, that does not fold."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page to this file instead.")]


def give(answer: Answer, as_json: bool, page: Path | None) -> None:
    """Print the answer, or write it to `page` and say so.

    Raises:
        BadInput: the page cannot be written.
    """
    if page is not None:
        write(answer.page(), page, "--html")
    if as_json:
        typer.echo(json.dumps(answer.as_json(), indent=1, ensure_ascii=False))
    elif page is None:
        _print(answer)
    else:
        console.print(f"  {page}", markup=False)


def when(seconds: float) -> str:
    """A time in a table: local, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def write(text: str, path: Path, option: str) -> None:
    """Write a file that the user named.

    Raises:
        BadInput: it cannot be written; the message names the option.
    """
    try:
        path.expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{option} {path}: {error.strerror or error}; name a file in a folder that exists") from error


def _print(answer: Answer) -> None:
    console.print(f"[bold]{escape(answer.title)}[/bold]")
    for line in answer.lines:
        console.print(f"  {line}", markup=False)
    for name, table in answer.tables.items():
        console.print(_rich(name, table))


def _rich(name: str, table: pl.DataFrame) -> Table:
    """Numbers and short words stay in one piece; long text folds where the terminal is narrow."""
    shown = Table(title=escape(name), title_justify="left", title_style="", box=None, padding=(0, 0, 0, 2))
    rows = [cells(row) for row in table.to_dicts()]
    for place, column in enumerate(names_of(table)):
        head, right = column.replace("_", " "), table[column].dtype.is_numeric()
        longest = max((len(row[place]) for row in rows), default=0)
        whole = longest if right or longest <= _SHORT else 0
        width = max(whole, *map(len, head.split()), 1)
        shown.add_column(escape(head), overflow="fold", justify="right" if right else "left", min_width=width)
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown
