"""One published table as a Parquet file: written block by block, with what it is in the file's metadata."""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.exceptions import PolarsError

from core.errors import BadInput, first_line
from core.explain.vector_columns import VECTORS, stored_schema

SCHEMA_VERSION = 1
"""Raised when a published table's columns change."""
Rows = pl.DataFrame | Iterable[pl.DataFrame]
"""A table, or its blocks in order."""
_PREFIX = "saeflow."
_MOST_ROWS = 1 << 12
_GROUP_BYTES = 1 << 25
KEYS = ("feature_id", "sae_id")
_FIX = "publish the catalogue again with this version of saeflow, or import the older tables"


@dataclass(frozen=True)
class Card:
    """What a table's metadata says of its vectors: the embedder, and how they are kept."""

    embedder: str = ""
    """The embedder's full name; empty in a table without vectors."""
    revision: str = ""
    dimension: int = 0
    int8: bool = False
    """Whether a dimension is kept as one byte."""
    recall_at_10: float | None = None
    """Of the ten nearest by Float32, the share that is found with bytes; null where it was not measured."""


def write_file(path: Path, rows: Rows, schema: pl.Schema, card: Card, told: Path | None = None) -> None:
    """Write a table; `told` is what errors call the file, where it is written under another name first.

    Raises:
        BadInput: a block does not have the declared columns, a key is null, a vector has another dimension, or the
            file cannot be written.
    """
    named = told or path
    arrow = _arrow(schema.to_frame()).schema.with_metadata(_metadata(card))
    has_vectors = any(name in VECTORS for name in schema)
    try:
        with pq.ParquetWriter(path, arrow, compression="zstd", use_dictionary=not has_vectors) as writer:
            for block in [rows] if isinstance(rows, pl.DataFrame) else rows:
                _refuse_other_block(named, block, schema, card)
                for part in _groups(block):
                    writer.write_table(_arrow(part).cast(arrow))
    except (OSError, pa.ArrowException) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else first_line(error)
        raise BadInput(f"{named}: cannot be written ({what}); nothing was replaced, make room and try again") from error


def read_card(path: Path) -> Card:
    """What a table's metadata says of it.

    Raises:
        BadInput: the file is missing, is no Parquet file, or holds a table of another schema version.
    """
    return _card(path, _read(path)[0])


def checked_card(path: Path, declared: pl.Schema) -> Card:
    """The same of a table that has the declared columns, its vectors perhaps as bytes; further columns do not matter.

    Raises:
        BadInput: as for `read_card`, or a column is missing or of another type.
    """
    told, found = _read(path)
    card = _card(path, told)
    for name, kind in stored_schema(declared, card.int8).items():
        if name not in found:
            raise BadInput(f"{path}: column {name!r} is missing; {_FIX}")
        if found[name] != kind:
            raise BadInput(f"{path}: column {name!r} is {found[name]}, and should be {kind}; {_FIX}")
    return card


def _card(path: Path, told: Mapping[str, str]) -> Card:
    version = told.get("schema_version")
    if version != str(SCHEMA_VERSION):
        found = f"has schema version {version}" if version else "says no schema version"
        raise BadInput(f"{path}: {found}, and this is saeflow with version {SCHEMA_VERSION}; {_FIX}")
    recall = told.get("recall_at_10", "")
    return Card(
        told.get("embedder", ""),
        told.get("embedder_revision", ""),
        int(told.get("dimension", "0")),
        told.get("int8") == "true",
        float(recall) if recall else None,
    )


def _read(path: Path) -> tuple[dict[str, str], pl.Schema]:
    """What the file says of itself, and its columns."""
    try:
        told = pl.read_parquet_metadata(path)
        columns = pl.scan_parquet(path, glob=False).collect_schema()
    except FileNotFoundError as error:
        raise BadInput(f"{path}: is missing; {_FIX}") from error
    except (OSError, PolarsError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({first_line(error)}); {_FIX}") from error
    return {name.removeprefix(_PREFIX): text for name, text in told.items() if name.startswith(_PREFIX)}, columns


def _metadata(card: Card) -> dict[str, str]:
    told: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    if card.embedder:
        told |= {"embedder": card.embedder, "embedder_revision": card.revision, "dimension": card.dimension}
        told |= {"int8": str(card.int8).lower(), "recall_at_10": "" if card.recall_at_10 is None else card.recall_at_10}
    return {f"{_PREFIX}{name}": str(value) for name, value in told.items()}


def _refuse_other_block(path: Path, block: pl.DataFrame, declared: pl.Schema, card: Card) -> None:
    """Let a block pass that has exactly the declared columns, no null key, and vectors of the embedder's dimension."""
    fault = ""
    if list(block.columns) != list(declared):
        missing = [name for name in declared if name not in block.columns]
        further = [name for name in block.columns if name not in declared]
        fault = f"columns are missing ({', '.join(missing)})" if missing else f"columns {further} are not declared"
    for name, kind in declared.items() if not fault else ():
        if block[name].dtype != kind:
            fault = f"column {name!r} is {block[name].dtype}, and should be {kind}"
        elif name in KEYS and block[name].null_count():
            fault = f"column {name!r} has nulls"
        elif name in VECTORS and card.dimension and _dimensions(block[name]) - {card.dimension}:
            fault = f"column {name!r} has vectors of other dimensions than {card.dimension}"
    if fault:
        raise BadInput(f"{path}: {fault}; correct the table before it is published")


def _dimensions(column: pl.Series) -> set[int]:
    flat = column.explode(empty_as_null=False) if column.dtype.inner.is_nested() else column  # type: ignore[attr-defined]
    return set(flat.list.len().unique().to_list())


def _groups(block: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The block in parts of at most so many rows and bytes: one row group of the file each."""
    each = max(1, int(block.estimated_size()) // max(1, block.height))
    rows = max(1, min(_MOST_ROWS, _GROUP_BYTES // each))
    return block.iter_slices(rows)


def _arrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
