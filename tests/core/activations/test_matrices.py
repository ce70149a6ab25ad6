"""Matrices that other programs wrote, whole and damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from core.activations.matrices import open_matrix
from core.errors import BadInput

ROWS = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)


def write_npy(path: Path) -> Path:
    np.save(path, ROWS)
    return path


def write_safetensors(path: Path) -> Path:
    save_file({"activation": ROWS}, path)
    return path


def write_parquet(path: Path) -> Path:
    pl.DataFrame({"activation": pl.Series(ROWS)}).write_parquet(path, compression="zstd")
    return path


def write_zarr(path: Path) -> Path:
    """Its only chunk: the rest of the folder is metadata."""
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(store=str(path), shape=ROWS.shape, chunks=ROWS.shape, dtype="float32")
    array[:] = ROWS
    return path / "c" / "0" / "0"


WRITERS: dict[str, Callable[[Path], Path]] = {
    ".npy": write_npy,
    ".safetensors": write_safetensors,
    ".parquet": write_parquet,
    ".zarr": write_zarr,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_blocks_are_all_rows_in_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    WRITERS[ending](path)
    matrix = open_matrix(path)
    assert (matrix.rows, matrix.width, matrix.dtype) == (300, 8, "float32")
    blocks = list(matrix.blocks(128))
    assert [len(block) for block in blocks] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate(blocks), ROWS)


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_that_is_cut_is_told(tmp_path: Path, ending: str, left: float) -> None:
    path = tmp_path / f"rows{ending}"
    content = WRITERS[ending](path)
    whole = content.read_bytes()
    content.write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(BadInput, match=rf"rows\{ending}: "):
        list(open_matrix(path).blocks(128))
