"""The published tables of a catalogue: written together or not at all, checked when written and when read."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.explain.table_file import Card, Rows, checked_card, write_file
from core.explain.tables import (
    ACTIVATION_EMBEDDINGS,
    ACTIVATION_EXAMPLE_SIMILARITY,
    ACTIVATION_EXAMPLES,
    EXPLANATION_EMBEDDINGS,
    FEATURES,
    SCORES,
)
from core.explain.vector_columns import as_float32, stored_schema
from core.store.folders import refuse_filled, renamed_into

PUBLISHED: Mapping[str, pl.Schema] = {
    "features": FEATURES,
    "activation_examples": ACTIVATION_EXAMPLES,
    "explanation_embeddings": EXPLANATION_EMBEDDINGS,
    "activation_embeddings": ACTIVATION_EMBEDDINGS,
    "activation_example_similarity": ACTIVATION_EXAMPLE_SIMILARITY,
    "scores": SCORES,
}
"""The six tables by name. `NAME.EMBEDDER` is the same table for a further embedder."""


def table_schema(name: str) -> pl.Schema:
    """The declared columns of the table `NAME` or `NAME.EMBEDDER`.

    Raises:
        BadInput: there is no such table.
    """
    schema = PUBLISHED.get(name.partition(".")[0])
    if schema is None:
        raise BadInput(f"table {name!r}: there is none of that name; name one of {', '.join(PUBLISHED)}")
    return schema


def write_tables(folder: Path, tables: Mapping[str, Rows], cards: Mapping[str, Card] | None = None) -> None:
    """Write `NAME.parquet` of each table into a new folder, which is there once all of them are whole.

    Args:
        folder: a place where there is nothing, or an empty folder.
        tables: frames, or blocks of one that are written as they come.
        cards: what was embedded by what, by table.

    Raises:
        BadInput: the folder holds something, a table does not have its declared columns, or it cannot be written.
    """
    refuse_filled(folder)
    with renamed_into(folder) as staged:
        for name, rows in tables.items():
            card = (cards or {}).get(name, Card())
            schema = stored_schema(table_schema(name), card.int8)
            write_file(staged / f"{name}.parquet", rows, schema, card, told=folder / f"{name}.parquet")


def read_table(path: Path, schema: pl.Schema | None = None) -> pl.DataFrame:
    """A published table with its declared columns; vectors kept as bytes become Float32 of unit length.

    Args:
        path: the table's file.
        schema: its columns; null takes those of the table that the file is called after.

    Raises:
        BadInput: the file is missing, cannot be read, has another schema version, or a column is missing or wrong.
    """
    frame: pl.DataFrame = scan_table(path, schema).collect()
    return frame


def scan_table(path: Path, schema: pl.Schema | None = None) -> pl.LazyFrame:
    """The same, read when it is collected: with a filter on `feature_id`, only where the feature is.

    Raises:
        BadInput: as for `read_table`.
    """
    declared = schema if schema is not None else table_schema(path.name.removesuffix(".parquet"))
    rows = pl.scan_parquet(path, glob=False).select(list(declared))
    return rows.with_columns(as_float32(declared)) if checked_card(path, declared).int8 else rows


def tables_in(folder: Path) -> list[str]:
    """The published tables that a folder holds, by name, in the order of `PUBLISHED`."""
    names = [path.name.removesuffix(".parquet") for path in sorted(folder.glob("*.parquet"))]
    order = list(PUBLISHED)
    known = [name for name in names if name.partition(".")[0] in PUBLISHED]
    return sorted(known, key=lambda name: (order.index(name.partition(".")[0]), name))
