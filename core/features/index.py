"""The feature index of a layer: what is active in a row, and where a feature is active, memory-mapped from disk."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float, Int, UInt

from core.errors import BadInput
from core.features.backends.csc import CscColumns
from core.features.columns import map_array, release

if TYPE_CHECKING:
    from scipy import sparse


class FeatureIndex:
    """The index that `core.features.build.build_index` wrote: arrays stay on disk until they are asked for.

    `num_features` is F.

    Its tables, read when first asked for: `features` (one row per feature), `positions` (feature × language × position
    set), `neighbours` (decoder cosine), `coactivation` (features that fire together).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns = CscColumns(folder)
        self._starts: dict[str, UInt[np.ndarray, " F1"]] = {}
        self._kept: dict[str, _Narrow] = {}
        names = ("csr_indptr", "csr_features", "csr_values")
        try:
            self._indptr, self._features, self._values = (map_array(folder / f"{name}.npy") for name in names)
            self.num_features = self._columns.num_features
        except (OSError, ValueError, BadInput) as error:
            raise BadInput(f"{folder}: is no complete feature index ({error}); run index_features again") from error

    @classmethod
    def open(cls, folder: Path) -> "FeatureIndex":
        """Open the index in `folder`.

        Raises:
            BadInput: a file of it is missing or damaged.
        """
        return cls(folder)

    @property
    def num_rows(self) -> int:
        """Rows of the layer's table, T."""
        return len(self._indptr) - 1

    def csc(self, feature: int) -> tuple[UInt[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The rows a feature is active in, ascending, and its activations there.

        Raises:
            BadInput: there is no such feature.
        """
        found = self._columns.load(feature)
        if found is None:
            raise BadInput(f"feature {feature} is out of range; the layer has features 0-{self.num_features - 1}")
        return found

    def csr(
        self, start: int, stop: int
    ) -> tuple[UInt[np.ndarray, " n1"], UInt[np.ndarray, " nnz"], Float[np.ndarray, " nnz"]]:
        """What is active in rows `start` to `stop` (exclusive): indptr from 0, features ascending in a row, values."""
        bounds = np.asarray(self._indptr[start : stop + 1])
        span = slice(int(bounds[0]), int(bounds[-1]))
        return bounds - bounds[0], self._features[span], self._values[span]

    def matrix(self, start: int = 0, stop: int | None = None) -> "sparse.csr_array":
        """Rows `start` to `stop` as a SciPy matrix [rows, F], in memory."""
        from scipy import sparse  # a server that reads features needs none of it

        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        indptr, features, values = self.csr(start, stop)
        parts = (np.array(values), features.astype(np.int32), indptr.astype(np.int64))
        return sparse.csr_array(parts, shape=(stop - start, self.num_features))

    def activations(self, features: Int[np.ndarray, " n"] | list[int]) -> Float[np.ndarray, "T n"]:
        """Activations of chosen features over all rows, dense."""
        dense = np.zeros((self.num_rows, len(features)), np.float32)
        for column, feature in enumerate(features):
            rows, values = self.csc(int(feature))
            dense[rows, column] = values
        return dense

    def load_tables(self, without: Sequence[str] = ()) -> int:
        """Read the tables now, so that all of the index is what was there when it was opened; `without` are columns of
        `features` that are not kept. Bytes of memory that they take."""
        self.features = self._table("features", without)
        self._kept = {name: _Narrow(self._table(name)) for name in ("positions", "neighbours", "coactivation")}
        tables = (self.features, *(kept.table for kept in self._kept.values()))
        return sum(int(table.estimated_size()) for table in tables)

    def of_feature(self, table: str, feature: int) -> pl.DataFrame:
        """The rows of one of the tables that are a feature's, in the table's order."""
        kept = self._kept.get(table)
        whole: pl.DataFrame = kept.table if kept else getattr(self, table)
        if table not in self._starts:
            features = whole["feature"].to_numpy()
            self._starts[table] = np.searchsorted(features, np.arange(self.num_features + 1)).astype(np.uint32)
        start, stop = map(int, self._starts[table][feature : feature + 2])
        return kept.rows(start, stop) if kept else whole[start:stop]

    def release(self) -> None:
        """Give the arrays' pages back: what was read stays in the system's cache, not in this process's memory."""
        for array in (self._indptr, self._features, self._values, *(self._columns.load(0) or ())):
            release(array)

    @cached_property
    def features(self) -> pl.DataFrame:
        """One row per feature, with the columns of `core.features.statistics.FEATURES`."""
        return self._table("features")

    @cached_property
    def positions(self) -> pl.DataFrame:
        """One row per feature, language and position set it fires in: `core.features.statistics.POSITIONS`."""
        return self._read("positions")

    @cached_property
    def neighbours(self) -> pl.DataFrame:
        """The features of most similar decoder directions: `core.features.neighbours.NEIGHBOURS`."""
        return self._read("neighbours")

    @cached_property
    def coactivation(self) -> pl.DataFrame:
        """The features that fire in the same rows: `core.features.neighbours.COACTIVATION`."""
        return self._read("coactivation")

    def _read(self, name: str) -> pl.DataFrame:
        kept = self._kept.get(name)
        return kept.rows(0, kept.table.height) if kept else self._table(name)

    def _table(self, name: str, without: Sequence[str] = ()) -> pl.DataFrame:
        path = self.folder / f"{name}.parquet"
        kept = (
            [column for column in pl.scan_parquet(path, glob=False).collect_schema() if column not in without]
            if without
            else None
        )
        table = pl.read_parquet(path, columns=kept, glob=False)
        return table if table["feature"].is_sorted() else table.sort("feature", maintain_order=True)


class _Narrow:
    """A `table` that is kept in the narrowest integers that hold it."""

    def __init__(self, table: pl.DataFrame) -> None:
        self._types = table.dtypes
        self.table = pl.DataFrame([one.shrink_dtype() if one.dtype.is_integer() else one for one in table])

    def rows(self, start: int, stop: int) -> pl.DataFrame:
        """Some of its rows, in the types that it had."""
        return pl.DataFrame([one[start:stop].cast(own) for one, own in zip(self.table, self._types)])
