"""CSV tables: how one is separated, and its rows one by one."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from core.data.sample_frame import free_column
from core.data.signatures import HEAD_BYTES, signature
from core.data.table_values import Row, shown
from core.errors import BadInput

SEPARATORS = ",;\t|"
_BLANK = SEPARATORS + " \r\n"
_NOT_UTF8 = "not UTF-8 text; save the table as UTF-8"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_EXCELS_LINE = re.compile(r"sep=(.)")


class _Layout(NamedTuple):
    """How a file is written: its separator, and whether Excel's own line `sep=…` stands above the header."""

    separator: str
    has_excels_line: bool


def refuse_foreign(path: Path) -> None:
    """Refuse a file of text that is none.

    Raises:
        BadInput: it is UTF-16, or something else by its first bytes.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_UTF16) or b"\0" in head[:4]:
        raise BadInput(f"{path.name}: UTF-16 text (Excel's 'Unicode Text'); save it as UTF-8 (Excel's 'CSV UTF-8')")
    found = signature(head) if head else None
    if found is not None:
        raise BadInput(f"{path.name}: not a table of text but {found}")


def csv_columns(path: Path) -> list[str]:
    """The names in the header, without columns that have neither name nor content.

    Raises:
        BadInput: the file is empty or no text, or names a column twice.
    """
    with _open(path) as file:
        layout = _layout(path)
        header, _, nameless = _header(path, file, layout)
    empty = set(nameless)
    if empty:
        for row in csv_rows(path):
            empty -= {name for name in empty if row.values.get(name) is not None}
    return [name for name in header if name not in empty]


def csv_rows(path: Path) -> Iterator[Row]:
    """Stream the rows.

    Raises:
        BadInput: as `csv_columns`, or a quote is never closed.
    """
    with _open(path) as file:
        header, lines, _ = _header(path, file, _layout(path))
        number = 0
        while True:
            start = lines.line_num + 1
            try:
                fields = next(lines, None)
            except csv.Error as error:
                if "end of data" in str(error):
                    raise BadInput(f"{path.name}, line {start}: a quote is opened and never closed") from error
                number += 1
                yield Row(number, {}, f"not valid CSV ({error})")
                continue
            if fields is None:
                return
            if not fields:
                continue  # an empty line is no row
            number += 1
            yield _row(number, header, fields)


def _open(path: Path) -> TextIO:
    refuse_foreign(path)
    # A byte that is no UTF-8 spoils its own row, not the table.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _layout(path: Path) -> _Layout:
    """The separator by which the header falls into columns: the usual one of the file's ending where it does.

    Raises:
        BadInput: several others do.
    """
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    with _open(path) as file:
        first = next((line for line in file if line.strip(_BLANK)), "").rstrip("\r\n")
    excels = _EXCELS_LINE.fullmatch(first)
    if excels is not None:
        return _Layout(excels[1], True)
    others = [mark for mark in SEPARATORS if mark != usual and _columns(first, mark) > 1]
    if _columns(first, usual) > 1 or not others:
        return _Layout(usual, False)
    if len(others) > 1:
        marks = " or ".join(map(repr, others))
        raise BadInput(f"{path.name}: its columns are separated by {marks}; separate them by commas")
    return _Layout(others[0], False)


def _columns(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), []))
    except csv.Error:
        return 0


def _header(path: Path, file: TextIO, layout: _Layout) -> tuple[list[str], Any, list[str]]:
    """The names of the columns, the lines below them, and those of the names that the file does not give."""
    # strict: otherwise a quote that is never closed would swallow the rest of the table as one field
    lines = csv.reader(file, delimiter=layout.separator, strict=True)
    try:
        filled = (fields for fields in lines if any(map(str.strip, fields)))
        if layout.has_excels_line:
            next(filled)
        header = next(filled, None)
    except csv.Error as error:
        raise BadInput(f"{path.name}, near line 1: not valid CSV ({error})") from error
    if not header:
        raise BadInput(f"{path.name}: the file is empty; its first line must name the columns")
    if not _is_text(header):
        raise BadInput(f"{path.name}, near line 1: {_NOT_UTF8}")
    twice = sorted({name for name in header if name.strip() and header.count(name) > 1})
    if twice:
        raise BadInput(f"{path.name}: the column {shown(twice[0])!r} is named twice; rename one")
    named = [name if name.strip() else _given_name(place, header) for place, name in enumerate(header, start=1)]
    return named, lines, [name for name, own in zip(named, header) if not own.strip()]


def _given_name(place: int, header: list[str]) -> str:
    """A column's name where the header has none: as it is where it is the only one, as pandas writes its index."""
    nameless = sum(not name.strip() for name in header)
    return header[place - 1] if nameless == 1 else free_column(place, header)


def _is_text(fields: list[str]) -> bool:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(number: int, header: list[str], fields: list[str]) -> Row:
    if not _is_text(fields):
        return Row(number, {}, _NOT_UTF8)
    if len(fields) != len(header):
        return Row(number, {}, f"{len(fields)} fields where the header has {len(header)}")
    return Row(number, {name: field or None for name, field in zip(header, fields)})
