"""Arrays on disk that are written piece by piece and read memory-mapped, and the turn from rows to columns."""

import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt
from numpy.lib import format as npy

from core.errors import BadInput

ValueType = Literal["float16", "float32"]
_BLOCK_ELEMENTS = 2**24
"""Rows times features in memory at once: 64 MiB in float32."""
_FLOAT16 = np.finfo(np.float16)


class ArrayWriter:
    """An .npy file of one dimension that grows as it is written; its header is completed when the block ends."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._path, self._dtype = path, np.dtype(dtype)
        self.length = 0

    def __enter__(self) -> "ArrayWriter":
        self._file = self._path.open("wb")
        self._header()
        return self

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Write `values` behind what is there."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._file.seek(0)
            self._header()  # NumPy pads it for growth: as long as the first one was
        self._file.close()

    def _header(self) -> None:
        entry = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, entry)


class SparseRows:
    """Writes csr_{indptr,features,values}.npy of a folder; the files are whole when the block ends.

    Values are float32, or float16, where an activation too small for it becomes the smallest number above 0.
    """

    def __init__(self, folder: Path, values: ValueType = "float32") -> None:
        self._narrow = values == "float16"
        names = (("indptr", np.uint64), ("features", np.uint32), ("values", np.float16 if self._narrow else np.float32))
        self._writers = [ArrayWriter(folder / f"csr_{name}.npy", dtype) for name, dtype in names]

    def __enter__(self) -> "SparseRows":
        for writer in self._writers:
            writer.__enter__()
        self._writers[0].append(np.zeros(1, np.uint64))
        return self

    def append(
        self, counts: Int[np.ndarray, " n"], features: UInt[np.ndarray, " nnz"], values: Float[np.ndarray, " nnz"]
    ) -> None:
        """Write further rows: how many features are active in each, which, and their activations, above 0.

        Raises:
            BadInput: an activation is too large for float16.
        """
        indptr, of_features, of_values = self._writers
        indptr.append(of_values.length + counts.cumsum())
        of_features.append(features)
        of_values.append(_narrowed(values) if self._narrow else values)

    def append_dense(self, rows: Float[np.ndarray, "n F"]) -> None:
        """Write further rows out of a dense block; what is not above 0 is no activation.

        Raises:
            BadInput: an activation is too large for float16.
        """
        active = rows > 0
        self.append(active.sum(1), np.nonzero(active)[1], rows[active])

    @property
    def entries(self) -> int:
        """Active entries written so far."""
        return self._writers[2].length

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers:
            writer.__exit__(kind, error, trace)


def _narrowed(values: Float[np.ndarray, " nnz"]) -> Float[np.ndarray, " nnz"]:
    largest = float(values.max(initial=0.0))
    if largest > float(_FLOAT16.max):
        raise BadInput(f"an activation of {largest:,.0f} does not fit into float16 (up to 65,504); store float32")
    return np.maximum(values.astype(np.float16), _FLOAT16.smallest_subnormal)


def block_rows(num_features: int) -> int:
    """Rows that are dense in memory at once."""
    return max(1, _BLOCK_ELEMENTS // num_features)


def map_array(path: Path) -> np.ndarray[Any, Any]:
    """An .npy file, memory-mapped for reading."""
    array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def release(array: np.ndarray[Any, Any]) -> None:
    """Give back the pages of a mapped array, or of the one that it is a part of; they are read again when needed."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


def transpose(folder: Path, num_features: int, block_rows: int) -> None:
    """Write csc_{indptr,rows,values}.npy from csr_{indptr,features,values}.npy, a block of rows in memory at a time.

    Rows ascend within a feature.
    """
    indptr, features, values = (map_array(folder / f"csr_{name}.npy") for name in ("indptr", "features", "values"))
    starts = _feature_starts(features, num_features)
    np.save(folder / "csc_indptr.npy", starts)
    if not len(features):  # an empty file cannot be mapped
        np.save(folder / "csc_rows.npy", np.empty(0, np.uint32))
        np.save(folder / "csc_values.npy", np.empty(0, values.dtype))
        return
    out_rows = _new_map(folder / "csc_rows.npy", np.uint32, len(features))
    out_values = _new_map(folder / "csc_values.npy", values.dtype, len(features))
    cursor = starts[:-1].astype(np.int64)
    for start in range(0, len(indptr) - 1, block_rows):
        bounds = indptr[start : start + block_rows + 1].astype(np.int64)
        block = slice(bounds[0], bounds[-1])
        places, order, cursor = _place(np.asarray(features[block]), cursor)
        rows = np.repeat(np.arange(start, start + len(bounds) - 1, dtype=np.uint32), np.diff(bounds))
        out_rows[places] = rows[order]
        out_values[places] = values[block][order]
    out_rows.flush()
    out_values.flush()


def _new_map(path: Path, dtype: "np.dtype[Any] | type[np.generic]", length: int) -> "np.memmap[Any, Any]":
    """A new file to be filled through a map, its room taken first: on a full disk a map ends the process (SIGBUS)."""
    out = npy.open_memmap(path, "w+", dtype, (length,))
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return out


def _feature_starts(features: UInt[np.ndarray, " nnz"], num_features: int) -> UInt[np.ndarray, " F1"]:
    counts = np.zeros(num_features, np.int64)
    for start in range(0, len(features), 1 << 22):
        counts += np.bincount(features[start : start + (1 << 22)], minlength=num_features)
    return np.concatenate([[0], counts.cumsum()]).astype(np.uint64)


def _place(
    features: UInt[np.ndarray, " n"], cursor: Int[np.ndarray, " F"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " F"]]:
    """Where a block's entries go, in which order they are taken, and how far each feature is filled then."""
    order = np.argsort(features, kind="stable")
    counts = np.bincount(features, minlength=len(cursor))
    before = np.repeat(counts.cumsum() - counts, counts)
    places = np.repeat(cursor, counts) + np.arange(len(features)) - before
    return places, order, cursor + counts


def sorted_quantile(
    descending: Float[np.ndarray, " nnz"], starts: Int[np.ndarray, " f"], counts: Int[np.ndarray, " f"], q: float
) -> Float[np.ndarray, " f"]:
    """Quantile `q` (linear interpolation, as np.quantile) of each run of a descending array; NaN for an empty run."""
    place = q * np.maximum(counts - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(counts - 1, 0))
    last = np.maximum(starts + counts - 1, 0)
    padded = descending if len(descending) else np.zeros(1, np.float32)
    below, above = (padded[np.clip(last - step, 0, len(padded) - 1)].astype(np.float64) for step in (low, high))
    return np.where(counts > 0, below + (place - low) * (above - below), np.nan)
