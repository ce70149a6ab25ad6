"""Matrices of activations that some program wrote: .npy, .safetensors, Parquet or zarr, read block by block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from core.errors import BadInput, first_line

ACTIVATION = "activation"
"""What the matrix is called in files that give names: the column of Parquet, the tensor of safetensors."""
FLOATS = ("float16", "bfloat16", "float32", "float64")
_SAFETENSORS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}

Blocks = Callable[[int], Iterator[Any]]


@dataclass(frozen=True)
class Matrix:
    """A matrix on disk: `rows` × `width` numbers of the float type `dtype`."""

    path: Path
    rows: int
    width: int
    dtype: str
    _read: Blocks

    def blocks(self, size: int) -> Iterator[Float[np.ndarray, "n D"]]:
        """All rows in order, at most `size` at a time, in float32.

        Raises:
            BadInput: the file ends early or is damaged.
        """
        seen = 0
        with _told(self.path):
            for block in self._read(size):
                seen += len(block)
                yield _as_float32(block)
        if seen != self.rows:
            raise BadInput(f"{self.path}: {seen} of {self.rows} rows could be read; write the file again")


def _as_float32(block: Any) -> Float[np.ndarray, "n D"]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, and is found by extract_layer
        return np.asarray(block, dtype=np.float32)


def open_matrix(path: Path) -> Matrix:
    """Read a file's header; `blocks` reads the rows.

    Raises:
        BadInput: the file is missing, of another kind, damaged, no matrix, or not of a float type.
    """
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        raise BadInput(f"{path}: its name ends in none of {', '.join(_OPENERS)}")
    if not path.exists():
        raise BadInput(f"{path}: is missing, but {path.parent / 'index.json'} names it")
    with _told(path):
        shape, dtype, read = opener(path)
    if len(shape) != 2 or 0 in shape:
        raise BadInput(f"{path}: shape {list(shape)}; a matrix [rows, d_model] is needed")
    if dtype not in FLOATS:
        raise BadInput(f"{path}: holds {dtype}; write float32, or bfloat16 in a .safetensors")
    return Matrix(path, shape[0], shape[1], dtype, read)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the libraries raise at a damaged file into `BadInput`."""
    try:
        yield
    except BadInput:
        raise
    except (ValueError, OSError, KeyError, RuntimeError, SafetensorError) as error:  # zarr's codecs: RuntimeError
        raise BadInput(f"{path}: cannot be read ({first_line(error)})") from error


Opened = tuple[tuple[int, ...], str, Blocks]


def _open_npy(path: Path) -> Opened:
    array = np.lib.format.open_memmap(path, mode="r")  # refuses pickled objects
    return array.shape, array.dtype.name, partial(_slices, array, array.shape[0] if array.ndim else 0)


def _open_zarr(path: Path) -> Opened:
    array = zarr_or_told().open_array(str(path), mode="r")
    return array.shape, array.dtype.name, partial(_slices, array, array.shape[0] if array.ndim else 0)


def _slices(array: Any, rows: int, size: int) -> Iterator[Any]:
    for start in range(0, rows, size):
        yield array[start : start + size]


def _open_safetensors(path: Path) -> Opened:
    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        if ACTIVATION not in names and len(names) != 1:
            raise BadInput(f"{path}: holds {len(names)} tensors, none called {ACTIVATION!r}; name one so")
        name = ACTIVATION if ACTIVATION in names else names[0]
        part = file.get_slice(name)
        shape, dtype = tuple(part.get_shape()), str(part.get_dtype())
    return shape, _SAFETENSORS.get(dtype, dtype), partial(_safetensors_blocks, path, name, shape)


def _safetensors_blocks(path: Path, name: str, shape: tuple[int, ...], size: int) -> Iterator[Any]:
    with safe_open(path, framework="pt") as file:  # numpy has no bfloat16
        part = file.get_slice(name)
        for start in range(0, shape[0], size):
            yield part[start : start + size].float().numpy()


def _open_parquet(path: Path) -> Opened:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if ACTIVATION not in schema.names:
        raise BadInput(f"{path}: no column {ACTIVATION!r}; its columns: {', '.join(schema.names)}")
    kind = schema.field(ACTIVATION).type
    if not pa.types.is_fixed_size_list(kind):
        raise BadInput(f"{path}: column {ACTIVATION!r} is {kind}; a fixed-size list of float32 is needed")
    names = {pa.float16(): "float16", pa.float32(): "float32", pa.float64(): "float64"}
    dtype = names.get(kind.value_type, str(kind.value_type))
    return (rows, kind.list_size), dtype, partial(_parquet_blocks, path, kind.list_size)


def _parquet_blocks(path: Path, width: int, size: int) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, pre_buffer=False) as file:  # else it reads ahead, up to the whole file
        for batch in file.iter_batches(batch_size=size, columns=[ACTIVATION]):
            column = batch.column(0)
            values = column.flatten()
            if column.null_count or values.null_count:
                raise BadInput(f"{path}: column {ACTIVATION!r} has nulls; every row needs its {width} numbers")
            yield values.to_numpy(zero_copy_only=False).reshape(-1, width)


def zarr_or_told() -> Any:
    """The package zarr.

    Raises:
        BadInput: it is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise BadInput("zarr is not installed: `pip install 'zarr>=3'`; npy and Parquet need nothing more") from error
    return zarr


_OPENERS: dict[str, Callable[[Path], Opened]] = {
    ".npy": _open_npy,
    ".safetensors": _open_safetensors,
    ".parquet": _open_parquet,
    ".zarr": _open_zarr,
}
