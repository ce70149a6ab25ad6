"""Batches of older scripts, indexed: rows are read once, in order, and turned from rows to features."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.lib import format as npy

from core.activations.matrices import open_matrix
from core.errors import BadInput
from core.features.backends.batch_files import GLOBAL_INDEX, BatchFiles, ZarrBatch
from core.features.columns import SparseRows, block_rows, transpose
from core.progress import Progress, silent

EMBEDDINGS = "embeddings"
"""The folder of matrices [T, …] that older scripts keep beside the activations: the SAE's input, its output, logits."""


def index_batches(source: BatchFiles, folder: Path, progress: Progress = silent) -> None:
    """Write `csr_*.npy` and `csc_*.npy` of all batches into `folder`; what is not above 0 is no activation.

    Memory is bounded by blocks of rows, or by a chunk of the source where that is larger.

    Raises:
        BadInput: a batch is missing or damaged.
        OSError: the disk is full.
    """
    features, rows = source.shape()
    assert features is not None and rows is not None
    block = block_rows(features)
    with SparseRows(folder) as csr:
        for batch in source.batches:
            size = _whole_chunks(batch, block)
            for start in range(0, batch.rows, size):
                csr.append_dense(batch.block(start, min(start + size, batch.rows)))
                progress(batch.start + min(start + size, batch.rows), rows + rows // 4)
    transpose(folder, features, block)
    progress(rows + rows // 4, rows + rows // 4)


def _whole_chunks(batch: ZarrBatch, block: int) -> int:
    """Rows read at once: whole chunks, so that none is unpacked twice."""
    chunk = int(batch.array.chunks[0])
    return max(chunk, block // chunk * chunk)


def copy_embeddings(source: BatchFiles, folder: Path) -> list[str]:
    """Write each matrix of the source's `embeddings/` as `embeddings/NAME.npy` [T, …], float32; gives their names.

    Raises:
        BadInput: one is damaged, or has not the rows of the batches.
        OSError: the disk is full.
    """
    matrices = [open_matrix(path) for path in sorted((source.folder / EMBEDDINGS).glob("*.zarr"))]
    rows = source.shape()[1]
    for matrix in matrices:
        if matrix.rows != rows:
            raise BadInput(
                f"{matrix.path}: has {matrix.rows:,} rows, and the batches have {rows:,}; convert them again"
            )
    for matrix in matrices:
        out = folder / EMBEDDINGS / f"{matrix.path.stem}.npy"
        out.parent.mkdir(exist_ok=True)
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (matrix.rows, matrix.width)}
        with out.open("wb") as file:
            npy.write_array_header_1_0(file, header)
            for part in matrix.blocks(block_rows(matrix.width)):
                file.write(np.ascontiguousarray(part, "<f4").data)
    return [matrix.path.stem for matrix in matrices]


def numbering_note(rows: pl.DataFrame) -> str | None:
    """What to know where `global_index` is no row number: older converters count a shorter batch by its own length."""
    if GLOBAL_INDEX not in rows.columns:
        return None
    wrong = rows[GLOBAL_INDEX].to_numpy() != np.arange(rows.height)
    if not wrong.any():
        return None
    return (
        f"{GLOBAL_INDEX} is not the row's number from row {int(np.argmax(wrong)):,} on ({int(wrong.sum()):,} rows); "
        "rows are numbered through the batches, and the column is kept as it is"
    )
