"""A zarr array [F, T] with a feature's activations over all rows side by side; silent rows are 0."""

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.activations.matrices import zarr_or_told
from core.errors import BadInput
from core.features.backends.loader import ActivationLoader, Activations, sparse, told
from core.progress import Progress, silent

CHUNK_ROWS = 2**20
"""Rows of one feature in a chunk: 4 MiB. A feature is read whole, and each of its chunks costs half a millisecond."""
_SHARD_FEATURES = 64
"""Features that lie in one file at most: a file a chunk would be millions of files."""
_BLOCK_ELEMENTS = 2**25
"""Numbers of a file's features in memory at once: 128 MiB."""
_FIX = "write the array again"


class TransposedZarr:
    """A zarr array (version 2 or 3) of two dimensions, or a group that holds one such array and no other."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_available(self) -> bool:
        """Whether a zarr array or group lies there."""
        return any((self.path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows."""
        features, rows = self._array.shape
        return int(features), int(rows)

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values in memory; null where the array has no such feature.

        Raises:
            BadInput: it is no array [F, T] of numbers, or a chunk is damaged.
        """
        if not 0 <= feature_id < self._array.shape[0]:
            return None
        with told(self.path, _FIX):
            dense = np.asarray(self._array[feature_id])
        if not np.isfinite(dense).all():
            raise BadInput(f"{self.path}: feature {feature_id} holds NaN or Inf; {_FIX}")
        return sparse(dense)

    @cached_property
    def _array(self) -> Any:
        zarr = zarr_or_told()
        with told(self.path, _FIX):
            opened = zarr.open(str(self.path), mode="r")
            arrays = [opened] if isinstance(opened, zarr.Array) else [array for _, array in opened.arrays()]
        shapes = [array for array in arrays if array.ndim == 2 and array.dtype.kind in "fiu"]
        if len(shapes) != 1:
            raise BadInput(f"{self.path}: holds {len(shapes)} arrays [features, rows]; one is needed")
        return shapes[0]


def write_transposed_zarr(
    source: ActivationLoader, shape: tuple[int, int], path: Path, progress: Progress = silent
) -> None:
    """Write a store as an array [F, T] (zarr 3, float32, zstd, chunks of one feature, many in a file).

    Args:
        source: another store.
        shape: features and rows.
        path: where the array is made; it is there once it is whole.
        progress: told of features.

    Raises:
        BadInput: something lies at `path`.
    """
    zarr = zarr_or_told()
    if path.exists():
        raise BadInput(f"{path}: is there already; remove it, or name another folder")
    features, rows = shape
    chunk = min(CHUNK_ROWS, max(rows, 1))
    together = min(_SHARD_FEATURES, max(1, _BLOCK_ELEMENTS // max(rows, 1)))
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    array = zarr.create_array(
        store=str(part),
        shape=shape,
        dtype="float32",
        chunks=(1, chunk),
        shards=(together, chunk * -(-max(rows, 1) // chunk)),
        compressors=zarr.codecs.ZstdCodec(level=3),
        fill_value=0.0,
    )
    for start in range(0, features, together):
        stop = min(start + together, features)
        block = np.zeros((stop - start, rows), np.float32)
        for feature_id in range(start, stop):
            found = source.load(feature_id)
            if found is not None:
                block[feature_id - start, np.asarray(found[0])] = found[1]
        array[start:stop] = block
        progress(stop, features)
    part.rename(path)
