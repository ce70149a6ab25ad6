"""The columns of a feature index, memory-mapped: what `saeflow run` leaves of every layer."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadInput
from core.features.backends.loader import Activations, told
from core.features.columns import map_array

_NAMES = ("indptr", "rows", "values")
_FIX = "run index_features again"


class CscColumns:
    """`csc_indptr.npy` [F + 1], `csc_rows.npy` and `csc_values.npy` [nnz] of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_available(self) -> bool:
        """Whether the three files are there."""
        return all(self._path(name).is_file() for name in _NAMES)

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values, mapped; null where the index has no such feature.

        Raises:
            BadInput: a file is missing or damaged.
        """
        indptr, rows, values = self._columns
        if not 0 <= feature_id < len(indptr) - 1:
            return None
        span = slice(int(indptr[feature_id]), int(indptr[feature_id + 1]))
        return rows[span], values[span]

    @property
    def num_features(self) -> int:
        """F."""
        return len(self._columns[0]) - 1

    @cached_property
    def _columns(self) -> tuple[np.ndarray[Any, Any], ...]:
        with told(self.folder, _FIX):
            indptr, rows, values = (map_array(self._path(name)) for name in _NAMES)
        if not len(indptr) or not int(indptr[-1]) == len(rows) == len(values):
            raise BadInput(f"{self.folder}: its columns do not fit each other; {_FIX}")
        return indptr, rows, values

    def _path(self, name: str) -> Path:
        return self.folder / f"csc_{name}.npy"
