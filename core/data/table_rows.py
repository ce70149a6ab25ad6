"""Rows of a CSV, Parquet or JSON Lines file, one at a time, each with its number and what is wrong with it."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from core.errors import BadInput

ENDINGS = (".csv", ".parquet", ".jsonl")
_BATCH = 8192


class Row(NamedTuple):
    """A row of a table, counted from 1 without the header; `fault` says why it could not be read as one."""

    number: int
    values: Mapping[str, Any]
    fault: str | None = None


def table_columns(path: Path) -> list[str]:
    """The table's columns, in order; of JSON Lines every key that occurs.

    Raises:
        BadInput: the file is no table of a known kind, or names a column twice.
    """
    kind = _kind(path)
    if kind == ".parquet":
        return list(_schema(path))
    if kind == ".jsonl":
        return list(dict.fromkeys(key for row in _jsonl(path) for key in row.values))
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _header(path, csv.reader(file))


def table_types(path: Path) -> dict[str, Any]:
    """The polars types of a Parquet table's columns; nothing for text formats, which have none."""
    return dict(_schema(path)) if _kind(path) == ".parquet" else {}


def table_rows(path: Path) -> Iterator[Row]:
    """Stream the table.

    Raises:
        BadInput: the file cannot be read at all.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    return readers[_kind(path)](path)


def _kind(path: Path) -> str:
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path.name}: a table ends in {', '.join(ENDINGS)}; convert it to one of them")
    if not path.is_file():
        raise BadInput(f"{path}: no such table; correct data.path")
    return path.suffix.lower()


def _schema(path: Path) -> Mapping[str, Any]:
    try:
        return pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path.name}: not a readable Parquet file ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


def _header(path: Path, lines: Iterator[list[str]]) -> list[str]:
    try:
        header = next(lines, None)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, 1, error) from error
    if not header:
        raise BadInput(f"{path.name}: the file is empty; its first line must name the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInput(f"{path.name}: the column {twice[0]!r} is named twice; rename one")
    return header


def _unreadable(path: Path, line: int, error: Exception) -> BadInput:
    if isinstance(error, UnicodeDecodeError):
        return BadInput(f"{path.name}, near line {line}: not UTF-8 text; save the table as UTF-8")
    return BadInput(f"{path.name}, near line {line}: not valid CSV ({error})")


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        # strict: otherwise a quote that is never closed would swallow the rest of the table as one field
        lines = csv.reader(file, strict=True)
        header = _header(path, lines)
        number = 0
        while True:
            start = lines.line_num + 1
            try:
                fields = next(lines, None)
            except UnicodeDecodeError as error:
                raise _unreadable(path, start, error) from error
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
            yield _csv_row(number, header, fields)


def _csv_row(number: int, header: list[str], fields: list[str]) -> Row:
    if len(fields) != len(header):
        return Row(number, {}, f"{len(fields)} fields where the header has {len(header)}")
    return Row(number, {name: field or None for name, field in zip(header, fields)})


def _jsonl(path: Path) -> Iterator[Row]:
    number = 0
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                number += 1
                yield _jsonl_row(number, line)


def _jsonl_row(number: int, line: bytes) -> Row:
    try:
        values = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair passes the parser
    except UnicodeError:
        return Row(number, {}, "not valid Unicode")
    except ValueError as error:
        return Row(number, {}, f"not valid JSON ({error})")
    except RecursionError:
        return Row(number, {}, "not valid JSON (nested too deeply)")
    return Row(number, values) if isinstance(values, dict) else Row(number, {}, "not a JSON object")


def _parquet(path: Path) -> Iterator[Row]:
    lazy = pl.scan_parquet(path)
    try:
        height = lazy.select(pl.len()).collect().item()
        for start in range(0, height, _BATCH):
            batch = lazy.slice(start, _BATCH).collect()
            for number, values in enumerate(batch.iter_rows(named=True), start=start + 1):
                yield Row(number, values)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path.name}: not a readable Parquet file ({_first_line(error)})") from error
