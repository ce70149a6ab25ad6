"""Tables of the user's own, whatever their format: columns, types, and rows one at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.data.table_csv import csv_columns, csv_rows
from core.data.table_jsonl import JSON_LINES_FIX, jsonl_columns, jsonl_rows
from core.data.table_parquet import parquet_rows, parquet_schema, stored_paths
from core.data.table_values import Row, named_path
from core.errors import BadInput

ENDINGS = (".csv", ".parquet", ".jsonl", ".tsv")
_FIXES = {
    ".json": JSON_LINES_FIX,
    **dict.fromkeys((".ndjson", ".jsonlines"), "let the name end in .jsonl"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as CSV in UTF-8"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"), "unpack it first"),
    **dict.fromkeys((".txt", ".tab"), "let the name end in .tsv, or .csv where commas separate"),
    **dict.fromkeys((".pq", ".parq"), "let the name end in .parquet"),
    **dict.fromkeys((".arrow", ".feather"), "write it as Parquet"),
}


def table_columns(path: Path) -> list[str]:
    """The table's columns, in order; of JSON Lines every key that occurs.

    Raises:
        BadInput: the file is no table of a known kind, or names a column twice.
    """
    kind = _kind(path)
    if kind == ".parquet":
        return list(parquet_schema(path))
    return jsonl_columns(path) if kind == ".jsonl" else csv_columns(path)


def table_types(path: Path) -> dict[str, Any]:
    """The polars types of a Parquet table's columns; nothing for text formats, which have none."""
    return dict(parquet_schema(path)) if _kind(path) == ".parquet" else {}


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Stream the table; of Parquet only these columns are read.

    Raises:
        BadInput: the file cannot be read at all.
    """
    kind = _kind(path)
    if kind == ".parquet":
        return parquet_rows(path, columns)
    return jsonl_rows(path) if kind == ".jsonl" else csv_rows(path)


def named_pictures(path: Path, column: str) -> set[str]:
    """Every path that a column of pictures names; pictures that stand in the table are not read.

    Raises:
        BadInput: the file cannot be read at all.
    """
    if _kind(path) == ".parquet":
        return set(stored_paths(path, column))
    return {name for row in table_rows(path, [column]) if (name := named_path(row.values.get(column))) is not None}


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        raise BadInput(f"{path.name}: a folder; let data.path name the table in it")
    if suffix not in ENDINGS:
        fix = _FIXES.get(suffix, "convert it to one of them")
        raise BadInput(f"{path.name}: a table ends in {', '.join(ENDINGS)}; {fix}")
    if not path.is_file():
        raise BadInput(f"{path}: no such table; correct data.path")
    return suffix
