"""A feature looked for in every batch of rows, where nothing is stored by feature: slow, and always right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt

from core.features.backends.loader import Activations


class Batch(Protocol):
    """Rows of all features, dense or sparse."""

    @property
    def start(self) -> int:
        """The number of its first row in the whole store."""

    def column(self, feature_id: int, /) -> Float[np.ndarray, " n"] | None:
        """The feature's activation in each of the batch's rows; null where there is no such feature."""


@dataclass(frozen=True)
class CsrBatch:
    """A run of rows of a feature index: indptr from 0, the active features of each row, and their activations."""

    start: int
    indptr: UInt[np.ndarray, " n1"]
    features: UInt[np.ndarray, " nnz"]
    values: Float[np.ndarray, " nnz"]
    num_features: int

    def column(self, feature_id: int, /) -> Float[np.ndarray, " n"] | None:
        """The feature's activation in each of the batch's rows."""
        if not 0 <= feature_id < self.num_features:
            return None
        found = np.zeros(len(self.indptr) - 1, np.float32)
        at = np.flatnonzero(self.features == feature_id)
        found[np.searchsorted(self.indptr, at, "right") - 1] = self.values[at]
        return found


@dataclass(frozen=True)
class BatchScan:
    """Batches in the order of their rows."""

    batches: Sequence[Batch]

    def is_available(self) -> bool:
        """Whether there is a batch."""
        return bool(self.batches)

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values, every batch read; null where a batch has no such feature."""
        rows, values = [], []
        for start, column in self._columns(feature_id):
            if column is None:
                return None
            active = np.flatnonzero(column > 0)
            rows.append((active + start).astype(np.uint32))
            values.append(column[active].astype(np.float32))
        empty = np.zeros(0, np.uint32), np.zeros(0, np.float32)
        return (np.concatenate(rows), np.concatenate(values)) if rows else empty

    def _columns(self, feature_id: int) -> Iterator[tuple[int, Float[np.ndarray, " n"] | None]]:
        for batch in self.batches:
            yield batch.start, batch.column(feature_id)
