"""The published tables of a catalogue: written together or not at all, checked when written and when read."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

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
        _write_all(staged, folder, tables, cards or {})


def replace_tables(link: Path, tables: Mapping[str, Rows], cards: Mapping[str, Card] | None = None) -> None:
    """Publish tables in place of those that `link` leads to: readers find all old ones or all new ones.

    The tables are written into a folder beside the link, which then leads there; what it led to is removed. A folder
    in the link's place, as a copy of a catalogue has it, is kept under another name.

    Raises:
        BadInput: a table does not have its declared columns, or cannot be written; the old ones stay.
    """
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}-{uuid4().hex[:12]}")
    with renamed_into(fresh) as staged:
        _write_all(staged, link, tables, cards or {})
    before = link.resolve() if link.is_symlink() else None
    temporary = fresh.with_name(f"{fresh.name}.link")
    try:
        if link.is_dir() and not link.is_symlink():
            link.rename(link.with_name(f"{link.name}.copied-{time.time_ns()}"))
        temporary.symlink_to(fresh.name)
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if before is not None and before.name.startswith(f".{link.name}-") and before.parent == link.parent.resolve():
        shutil.rmtree(before, ignore_errors=True)


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


def _write_all(staged: Path, folder: Path, tables: Mapping[str, Rows], cards: Mapping[str, Card]) -> None:
    for name, rows in tables.items():
        card = cards.get(name, Card())
        schema = stored_schema(table_schema(name), card.int8)
        write_file(staged / f"{name}.parquet", rows, schema, card, told=folder / f"{name}.parquet")


def tables_in(folder: Path) -> list[str]:
    """The published tables that a folder holds, by name, in the order of `PUBLISHED`."""
    names = [path.name.removesuffix(".parquet") for path in sorted(folder.glob("*.parquet"))]
    order = list(PUBLISHED)
    known = [name for name in names if name.partition(".")[0] in PUBLISHED]
    return sorted(known, key=lambda name: (order.index(name.partition(".")[0]), name))
