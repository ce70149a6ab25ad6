"""The layout of older scripts: a zarr array [rows, features] and a Parquet table of its rows for each batch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.activations.matrices import zarr_or_told
from core.errors import BadInput
from core.features.backends.batch_scan import BatchScan
from core.features.backends.loader import Activations, told

NOTES = "conversion_metadata.json"
"""What the older converter writes last: how many batches and rows there are."""
GLOBAL_INDEX = "global_index"
_FIX = "convert its batches again with the script that wrote them"


@dataclass(frozen=True)
class ZarrBatch:
    """One batch; `start` is the number of its first row in the whole store."""

    start: int
    path: Path
    array: Any

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return int(self.array.shape[0])

    def column(self, feature_id: int, /) -> Float[np.ndarray, " n"] | None:
        """The feature's activation in each of the batch's rows."""
        if not 0 <= feature_id < self.array.shape[1]:
            return None
        with told(self.path, _FIX):
            column: Float[np.ndarray, " n"] = np.asarray(self.array[:, feature_id])
        return _finite(column, self.path)

    def block(self, start: int, stop: int) -> Float[np.ndarray, "n F"]:
        """Rows `start` to `stop` (exclusive) of the batch."""
        with told(self.path, _FIX):
            block: Float[np.ndarray, "n F"] = np.asarray(self.array[start:stop])
        return _finite(block, self.path)


def _finite(block: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
    if not np.isfinite(block).all():
        raise BadInput(f"{path}: holds NaN or Inf; {_FIX}")
    return block


class BatchFiles:
    """`activations/batch_0000.zarr`, …, `metadata/batch_0000.parquet`, … and `conversion_metadata.json` of a folder.

    Rows are numbered through the batches in their order. The tables' `global_index` is no row number: older converters
    count a shorter last batch from its own start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_available(self) -> bool:
        """Whether the converter's notes are there, which it writes last."""
        return (self.folder / NOTES).is_file()

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values, every batch read; null where the batches have no such feature.

        Raises:
            BadInput: a batch is missing or damaged.
        """
        return BatchScan(self.batches).load(feature_id)

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows."""
        last = self.batches[-1]
        return int(last.array.shape[1]), last.start + last.rows

    @cached_property
    def batches(self) -> tuple[ZarrBatch, ...]:
        """The batches, opened, in their order.

        Raises:
            BadInput: one is missing or damaged, they are not of one width, or not as many rows as the notes say.
        """
        found: list[ZarrBatch] = []
        start = 0
        for number in range(self._noted("n_batches")):
            path = self.folder / "activations" / f"batch_{number:04d}.zarr"
            found.append(ZarrBatch(start, path, _open(path)))
            start += found[-1].rows
        self._check(found, start)
        return tuple(found)

    def rows(self) -> pl.DataFrame:
        """What the tables say of each row, in the order of the rows.

        Raises:
            BadInput: a table is missing or damaged, or has not its batch's rows.
        """
        tables = [_table(self.folder / "metadata" / f"{batch.path.stem}.parquet", batch) for batch in self.batches]
        return pl.concat(tables, how="diagonal_relaxed")

    def _check(self, found: list[ZarrBatch], rows: int) -> None:
        widths = {batch.array.shape[1] for batch in found}
        if len(widths) > 1:
            raise BadInput(
                f"{self.folder}: its batches have {sorted(widths)} features; they are of several SAEs; {_FIX}"
            )
        noted = {"total_samples": rows, "n_features": widths.pop()}
        for name, there in noted.items():
            if name in self._notes and self._noted(name) != there:
                raise BadInput(f"{self.folder / NOTES}: {name} is {self._noted(name)}, and there are {there}; {_FIX}")

    def _noted(self, name: str) -> int:
        number = self._notes.get(name)
        if not isinstance(number, int) or number < 1:
            raise BadInput(f"{self.folder / NOTES}: {name} is {number!r}; a number above 0 is needed; {_FIX}")
        return number

    @cached_property
    def _notes(self) -> Mapping[str, Any]:
        path = self.folder / NOTES
        with told(path, _FIX):
            notes = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(notes, dict):
            raise BadInput(f"{path}: is no JSON object; {_FIX}")
        return notes


def _open(path: Path) -> Any:
    if not path.exists():
        raise BadInput(f"{path}: is missing, and {NOTES} counts it; {_FIX}")
    zarr = zarr_or_told()
    with told(path, _FIX):
        array = zarr.open_array(str(path), mode="r")
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise BadInput(f"{path}: is {array.dtype}{list(array.shape)}; numbers [rows, features] are needed; {_FIX}")
    return array


def _table(path: Path, batch: ZarrBatch) -> pl.DataFrame:
    if not path.is_file():
        raise BadInput(f"{path}: is missing; {_FIX}")
    try:
        table = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({str(error).splitlines()[0]}); {_FIX}") from error
    if table.height != batch.rows:
        raise BadInput(f"{path}: has {table.height} rows, and {batch.path.name} has {batch.rows}; {_FIX}")
    return table
