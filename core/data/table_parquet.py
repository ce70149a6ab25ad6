"""Parquet tables, streamed in batches, and the pictures that stand in their values."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl

from core.data.signatures import HEAD_BYTES, signature
from core.data.table_values import Row, as_picture, named_path, shown
from core.errors import BadInput

_BATCH = 8192
_DOUBTFUL = re.compile("Date|Time|Duration|Decimal|Map")
_PICTURES_BATCH = 64
_BUFFER_BYTES = 2**20  # pages are read as they are needed: a row group of pictures can be larger than the memory


def parquet_schema(path: Path) -> Mapping[str, Any]:
    """The polars types of the table's columns; `Unknown` of one that polars cannot read.

    Raises:
        BadInput: the file is no Parquet file.
    """
    try:
        return pl.scan_parquet(path, glob=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error
    except pl.exceptions.PanicException:
        with _open(path) as file:
            fields = list(file.schema_arrow)
        return {field.name: _kind(field) for field in fields}


def unreadable_columns(path: Path, columns: Sequence[str]) -> list[str]:
    """Those of the columns that polars, or Python, has no values for.

    Only columns of a type that allows for such values are looked through.

    Raises:
        BadInput: the file is damaged.
    """
    types = parquet_schema(path)
    return [name for name in columns if _is_doubtful(types[name]) and not _can_be_read(path, name)]


def _kind(field: Any) -> Any:
    import pyarrow as pa

    try:
        return pl.DataFrame(pa.schema([field]).empty_table()).schema[field.name]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException):
        return pl.Unknown()


def _is_doubtful(kind: Any) -> bool:
    if isinstance(kind, pl.Unknown):
        return True
    if isinstance(kind, pl.Date | pl.Time) or (isinstance(kind, pl.Datetime) and kind.time_zone is None):
        return False  # dates beyond the calendar have their row dropped
    return not holds_bytes(kind) and _DOUBTFUL.search(str(kind)) is not None


def _can_be_read(path: Path, column: str) -> bool:
    for batch in _batches(path, [column], _BATCH):
        for _, part in _valid_parts(batch):
            try:
                if part is not None:
                    frame = pl.DataFrame(pl.from_arrow(part))
                    pl.Series(frame.filter(~_beyond_the_calendar(frame)).to_series().to_list(), dtype=frame.dtypes[0])
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, ArithmeticError, TypeError):
                return False
    return True


def holds_bytes(kind: Any) -> bool:
    """Whether a column of this type holds bytes, itself or somewhere within."""
    if isinstance(kind, pl.Struct):
        return any(holds_bytes(field.dtype) for field in kind.fields)
    if isinstance(kind, pl.List | pl.Array):
        return holds_bytes(kind.inner)
    return bool(kind == pl.Binary)


def is_text(kind: Any) -> bool:
    """Whether a column of this type holds text, or nothing at all."""
    return isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null)


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Stream these columns; a row with a value that is no text, or no date of the calendar, has a fault.

    Raises:
        BadInput: the file is damaged.
    """
    schema = parquet_schema(path)
    size = _PICTURES_BATCH if any(holds_bytes(schema[name]) for name in columns) else _BATCH
    number = 0
    for batch in _batches(path, columns, size):
        for start, part in _valid_parts(batch):
            yield from _part_rows(number + start, part, columns)
        number += batch.num_rows


def stored_pictures(path: Path, column: str, rows: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """The contents of the pictures in some rows (counted from 1), in order, one batch of them in memory.

    Raises:
        BadInput: the file is damaged.
    """
    wanted = sorted(rows)
    with _open(path) as file:
        heights = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    for group, (height, end) in enumerate(zip(heights, accumulate(heights))):
        own = wanted[bisect_right(wanted, end - height) : bisect_right(wanted, end)]
        if own:
            yield from _group_pictures(path, column, (group, end - height), frozenset(own))


def _group_pictures(
    path: Path, column: str, group: tuple[int, int], rows: Collection[int]
) -> Iterator[tuple[int, bytes]]:
    number = group[1]
    for batch in _batches(path, [column], _PICTURES_BATCH, [group[0]]):
        values = batch.column(batch.schema.get_field_index(column))
        for place in range(batch.num_rows):
            if number + place + 1 in rows:
                picture = as_picture(values[place].as_py())
                if picture is not None and picture.content is not None:
                    yield number + place + 1, picture.content
        number += batch.num_rows


def stored_paths(path: Path, column: str) -> Iterator[str]:
    """The paths in a column of pictures, without reading the pictures themselves.

    Raises:
        BadInput: the file is damaged.
    """
    kind = parquet_schema(path)[column]
    if isinstance(kind, pl.Struct):
        if all(field.name != "path" for field in kind.fields):
            return
        leaf = f"{column}.path"
    elif is_text(kind):
        leaf = column
    else:
        return
    for batch in _batches(path, [leaf], _BATCH):
        for _, part in _valid_parts(batch):
            values = [] if part is None else part.column(part.schema.get_field_index(column)).to_pylist()
            yield from (name for value in values if (name := named_path(value)) is not None)


def _open(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _batches(path: Path, columns: Sequence[str], size: int, groups: Sequence[int] | None = None) -> Iterator[Any]:
    import pyarrow as pa

    try:
        with _open(path) as file:
            yield from file.iter_batches(batch_size=size, row_groups=groups, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _valid_parts(batch: Any) -> Iterator[tuple[int, Any]]:
    """The batch, or where one of its rows is not valid, row by row, null in place of a row that is not."""
    import pyarrow as pa

    try:
        batch.validate(full=True)
        yield 0, batch
    except pa.ArrowInvalid:
        for place in range(batch.num_rows):
            row = batch.slice(place, 1)
            try:
                row.validate(full=True)
                yield place, row
            except pa.ArrowInvalid:
                yield place, None


def _part_rows(before: int, part: Any, columns: Sequence[str]) -> Iterator[Row]:
    if part is None:
        yield Row(before + 1, {}, "a text that is not valid UTF-8")
        return
    frame = pl.from_arrow(part)
    assert isinstance(frame, pl.DataFrame)
    frame = frame.select(columns)
    beyond = _beyond_the_calendar(frame)
    if beyond.any():
        frame = frame.with_columns(pl.when(~beyond).then(pl.col(*frame.columns)))
    faults = dict.fromkeys(beyond.arg_true().to_list(), "a date beyond the years 1 to 9999")
    for place, values in enumerate(frame.iter_rows(named=True)):
        yield Row(before + place + 1, values, faults.get(place))


def _beyond_the_calendar(frame: pl.DataFrame) -> pl.Series:
    """Which rows hold a date that Python's own dates cannot be."""
    dates = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Date | pl.Datetime)]
    if not dates:
        return pl.Series([False] * frame.height)
    known = [pl.col(name).dt.year().is_between(1, 9999).fill_null(False) | pl.col(name).is_null() for name in dates]
    return frame.select((~pl.all_horizontal(known)).alias("beyond")).to_series()


def _unreadable(path: Path, error: Exception) -> BadInput:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = None if head.startswith(b"PAR1") else signature(head)
    if found is not None:
        return BadInput(f"{path.name}: not a Parquet file but {found}")
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return BadInput(f"{path.name}: not a readable Parquet file ({shown(reason)})")
