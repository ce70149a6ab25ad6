"""Published tables as CSV: one file each, nested columns as JSON."""

from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.explain.published import scan_table, tables_in
from core.store.folders import refuse_filled, renamed_into

_ROWS = 1 << 14


def export_csv(catalogue: Path, out: Path) -> Path:
    """Write `NAME.csv` of each table into a new folder, in UTF-8; lists and structs become JSON, null an empty field.

    Raises:
        BadInput: the folder holds no tables, one is wrong, or `out` holds something.
    """
    names = tables_in(catalogue)
    if not names:
        raise BadInput(f"{catalogue}: holds no published tables; name a catalogue's folder")
    refuse_filled(out)
    with renamed_into(out) as staged:
        for name in names:
            _write(scan_table(catalogue / f"{name}.parquet"), staged / f"{name}.csv")
    return out


def _write(rows: pl.LazyFrame, path: Path) -> None:
    columns = rows.collect_schema()
    flat = rows.select(_json(name) if kind.is_nested() else pl.col(name) for name, kind in columns.items())
    with path.open("wb") as file:
        for number, block in enumerate(flat.collect_batches(chunk_size=_ROWS, maintain_order=True)):
            block.write_csv(file, include_header=not number)


def _json(name: str) -> pl.Expr:
    """The column as JSON text; polars writes structs alone, `{"NAME":…}`."""
    whole = pl.struct(pl.col(name).alias("v")).struct.json_encode().str.slice(5)
    text = whole.str.head(-1)
    return pl.when(pl.col(name).is_not_null()).then(text).alias(name)
