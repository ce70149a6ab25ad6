"""The columns of a feature index, memory-mapped: what `saeflow run` leaves of every layer."""

import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadInput
from core.features.backends.card import CARD, read_card
from core.features.backends.loader import Activations, told
from core.features.columns import map_array

_NAMES = ("indptr", "rows", "values")


class CscColumns:
    """`csc_indptr.npy` [F + 1], `csc_rows.npy` and `csc_values.npy` [nnz] of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_available(self) -> bool:
        """Whether the three files are there."""
        return all(self._path(name).is_file() for name in _NAMES)

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values, mapped (of float16 values a copy); null where the index has no such feature.

        Raises:
            BadInput: a file is missing or damaged.
        """
        indptr, rows, values = self._columns
        if not 0 <= feature_id < len(indptr) - 1:
            return None
        span = slice(int(indptr[feature_id]), int(indptr[feature_id + 1]))
        for array in (rows, values):
            _read_ahead(array, span)
        return rows[span], np.asarray(values[span], np.float32) if values.dtype != np.float32 else values[span]

    @property
    def num_features(self) -> int:
        """F."""
        return len(self._columns[0]) - 1

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows; rows are null where neither a card nor the rows' offsets say how many."""
        card, offsets = read_card(self.folder), self.folder / "csr_indptr.npy"
        if card is not None and card.features != self.num_features:
            raise BadInput(
                f"{self.folder}: store.json says {card.features} features, and it has {self.num_features}; {self._fix}"
            )
        if card is None and offsets.is_file():
            with told(offsets, self._fix):
                return self.num_features, len(map_array(offsets)) - 1
        return self.num_features, card.rows if card else None

    @cached_property
    def _columns(self) -> tuple[np.ndarray[Any, Any], ...]:
        with told(self.folder, self._fix):
            indptr, rows, values = (map_array(self._path(name)) for name in _NAMES)
        if not len(indptr) or not int(indptr[-1]) == len(rows) == len(values):
            raise BadInput(f"{self.folder}: its columns do not fit each other; {self._fix}")
        return indptr, rows, values

    @property
    def _fix(self) -> str:
        return "convert the store again" if (self.folder / CARD).is_file() else "run index_features again"

    def _path(self, name: str) -> Path:
        return self.folder / f"csc_{name}.npy"


def _read_ahead(array: np.ndarray[Any, Any], span: slice) -> None:
    """Ask the kernel for a mapped span at once: page by page a cold one takes several times as long."""
    mapped = getattr(array, "_mmap", None)
    if mapped is None or span.start == span.stop:
        return
    begin = array.offset % mmap.ALLOCATIONGRANULARITY + span.start * array.itemsize  # type: ignore[attr-defined]
    first = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, first, begin - first + (span.stop - span.start) * array.itemsize)
