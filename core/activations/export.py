"""Captured layers as .npy, Parquet or zarr, their tokens beside them: what other tools read, and saeflow reads back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numpy.lib import format as npy

from core.activations.exchange import TOKENS_FILE, Format, Index
from core.activations.matrices import ACTIVATION, zarr_or_told
from core.activations.outliers import is_outlier
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.errors import BadInput
from core.progress import Progress, silent
from core.store.folders import refuse_filled, renamed_into

COLUMNS = [name for name in TOKENS if name not in ("group", "row")]
"""Of a token what has a meaning outside the store."""
_BLOCK_NUMBERS = 2**22
"""Numbers written at once, which is a row group and a chunk too: 16 MiB."""


def export_layers(tables: Sequence[LayerTable], folder: Path, format: Format, progress: Progress = silent) -> Index:
    """Write `layer_{ℓ}.{npy|parquet|zarr}` ([T, D] float32) of every layer, `tokens.parquet` (T rows) and `index.json`.

    Row i of every file is the same token. Rows that one of the layers has dropped are left out of all; outliers are
    in, and `special` tells control tokens alone. The folder is
    written beside its place and renamed into it; memory is bounded by blocks, whatever the number of rows.

    Raises:
        BadInput: something is in the folder already, zarr is not installed, or the layers have no row in common.
    """
    refuse_filled(folder)
    write = _WRITERS[format]
    if format == "zarr":
        zarr_or_told()
    chosen = _rows_of_all(tables)
    known = tables[0].tokens[chosen[0]]
    tokens = known.with_columns(special=pl.col("special") & ~is_outlier(known)).select(COLUMNS)
    with renamed_into(folder) as staged:
        for number, (table, rows) in enumerate(zip(tables, chosen, strict=True)):
            layer = _Layer(table, rows, tokens, _Part(progress, number, len(tables)))
            write(staged / f"layer_{table.layer}.{format}", layer)
        tokens.write_parquet(staged / TOKENS_FILE)
        index = Index(
            layers={table.layer: f"layer_{table.layer}.{format}" for table in tables},
            site=tables[0].site,
            rows=len(tokens),
            d_model=tables[0].d_model,
            dtype="float32",
        )
        index.write(staged)
    return index


def _rows_of_all(tables: Sequence[LayerTable]) -> list[Int[np.ndarray, " T"]]:
    """For each table the rows that none of them has dropped."""
    origins = [table.tokens["origin"].to_numpy() for table in tables]
    common = reduce(np.intersect1d, origins)
    if not common.size:
        raise BadInput("the layers have no row in common; export them one by one")
    return [np.flatnonzero(np.isin(origin, common)) for origin in origins]


@dataclass(frozen=True)
class _Part:
    """The progress of one of several layers."""

    progress: Progress
    number: int
    of: int

    def __call__(self, done: int, total: int) -> None:
        self.progress(self.number * total + done, self.of * total)


@dataclass(frozen=True)
class _Layer:
    """One layer on its way out: the rows of its table that go, and their tokens."""

    table: LayerTable
    rows: Int[np.ndarray, " T"]
    tokens: pl.DataFrame
    progress: _Part

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.table.d_model

    @property
    def block(self) -> int:
        """Rows written at once."""
        return max(1, min(len(self.rows), _BLOCK_NUMBERS // self.table.d_model))

    def blocks(self) -> Iterator[tuple[slice, Float[np.ndarray, "n D"]]]:
        for start in range(0, len(self.rows), self.block):
            rows = self.rows[start : start + self.block]
            place = slice(start, start + len(rows))
            yield place, self.table.read(rows).numpy()
            self.progress(place.stop, len(self.rows))


def _write_npy(path: Path, layer: _Layer) -> None:
    # Through a map a full disk would end the process (SIGBUS); a write is refused.
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": layer.shape})
        for _, block in layer.blocks():
            file.write(np.ascontiguousarray(block, "<f4").data)


def _write_zarr(path: Path, layer: _Layer) -> None:
    out = zarr_or_told().create_array(
        store=str(path),
        shape=layer.shape,
        chunks=(layer.block, layer.shape[1]),
        dtype="float32",
        dimension_names=("token", "d_model"),
    )
    for place, block in layer.blocks():
        out[place] = block


def _write_parquet(path: Path, layer: _Layer) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    width = layer.shape[1]
    tokens = layer.tokens.to_arrow(compat_level=pl.CompatLevel.oldest())
    field = pa.field(ACTIVATION, pa.list_(pa.float32(), width), nullable=False)
    # Rows come from bfloat16: half of each number's bytes are zero, and told apart by byte they pack to nothing.
    settings: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": COLUMNS,
        "write_statistics": COLUMNS,
        "column_encoding": {f"{ACTIVATION}.list.element": "BYTE_STREAM_SPLIT"},
    }
    with ParquetWriter(path, tokens.schema.append(field), **settings) as writer:
        for place, block in layer.blocks():
            numbers = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), width)
            part = tokens.slice(place.start, len(block)).append_column(field, numbers)
            writer.write_table(part, row_group_size=len(block))


_WRITERS: dict[Format, Callable[[Path, _Layer], None]] = {
    "npy": _write_npy,
    "parquet": _write_parquet,
    "zarr": _write_zarr,
}
