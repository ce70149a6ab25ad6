"""A layer and its features as read without the activations, and without PyTorch: index, tokens, associations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.features import examples
from core.features.index import FeatureIndex
from core.features.token_rows import TokenRows, columns_at

ASSOCIATIONS = "associations.parquet"
"""How a layer's features go with the concept: the table that the step `rank_features` leaves."""


@dataclass(frozen=True, repr=False)
class IndexedFeature:
    """One feature, over the rows of its layer (`token_rows`): how often it fires, where, beside which others."""

    feature: int
    token_rows: TokenRows
    index: FeatureIndex

    @property
    def rows(self) -> pl.DataFrame:
        """The tokens [T] of the layer's rows."""
        return self.token_rows.table

    @property
    def statistics(self) -> dict[str, Any]:
        """How often and how strongly it fires: the columns of `core.features.statistics.FEATURES`."""
        return self.index.of_feature("features", self.feature).row(0, named=True)

    @property
    def positions(self) -> pl.DataFrame:
        """How often and how strongly by language and position set, where it fires at all."""
        return self.index.of_feature("positions", self.feature)

    @property
    def neighbours(self) -> pl.DataFrame:
        """The features of most similar decoder directions, the nearest first."""
        return self.index.of_feature("neighbours", self.feature)

    @property
    def coactivation(self) -> pl.DataFrame:
        """The features that fire in the same rows, by Jaccard index."""
        return self.index.of_feature("coactivation", self.feature)

    @property
    def activations(self) -> pl.DataFrame:
        """The tokens of the rows that it is active in, in the table's order, and its `value` there."""
        rows, values = self.index.csc(self.feature)
        return self.rows[rows].with_columns(pl.Series("value", values, pl.Float32))

    def examples(self, quantiles: int = 4, contexts: int = 3, window: int = 32) -> pl.DataFrame:
        """Up to `contexts` rows from each of `quantiles` bands of its activations, strongest band first, each with
        the `window` tokens around it: the columns of `core.features.examples.EXAMPLES`."""
        return examples.examples(self.index, self.token_rows, self.feature, quantiles, contexts, window)

    def example_rows(self, quantiles: int = 4, contexts: int = 3, window: int = 32) -> list[dict[str, Any]]:
        """The rows of `examples`, for those who need no table."""
        return examples.example_rows(self.index, self.token_rows, self.feature, quantiles, contexts, window)


@dataclass(frozen=True, repr=False)
class IndexedLayer:
    """One layer: `tokens` [T] say what each row of the `index` is of (`core.activations.tokens.layer_tokens`);
    `associations` is null where nothing was ranked by a concept."""

    layer: int
    index: FeatureIndex
    tokens: pl.DataFrame
    associations: pl.DataFrame | None = None

    def feature(self, feature: int) -> IndexedFeature:
        """One feature of the layer.

        Raises:
            BadInput: there is no such feature.
        """
        self.index.csc(feature)
        return IndexedFeature(feature, self.token_rows, self.index)

    def associations_of(self, feature: int) -> pl.DataFrame | None:
        """How one feature goes with the concept, in the table's order; null where nothing was ranked."""
        return None if self.associations is None else self.associations[self._places_of(feature)]

    def association_rows(self, feature: int) -> list[dict[str, Any]]:
        """The rows of `associations_of`, none where nothing was ranked, for those who need no table."""
        if self.associations is None:
            return []
        names = self.associations.columns
        rows = zip(*columns_at(self.associations, self._places_of(feature), names))
        return [dict(zip(names, row)) for row in rows]

    def rows_of_image(self, image_id: str) -> Int[np.ndarray, " n"]:
        """The rows of an image and of its captions, ascending."""
        return self.token_rows.of_image(image_id)

    @cached_property
    def token_rows(self) -> TokenRows:
        """The tokens of the layer's rows, for those who look up a few."""
        return TokenRows(self.tokens)

    def _places_of(self, feature: int) -> Int[np.ndarray, " n"]:
        order, starts = self._associated
        return order[starts[feature] : starts[feature + 1]]

    @cached_property
    def _associated(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " F1"]]:
        """Places in `associations` by feature, and where each feature's start among them."""
        assert self.associations is not None
        features = self.associations["feature"].to_numpy()
        order = np.argsort(features, kind="stable").astype(np.uint32)
        return order, np.searchsorted(features[order], np.arange(self.index.num_features + 1))

    def active(
        self, rows: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " nnz"], Int[np.ndarray, " nnz"], Float[np.ndarray, " nnz"]]:
        """What is active in the rows numbered `rows`: the row, the feature and the activation of each entry."""
        parts = [self._run(int(run[0]), int(run[-1]) + 1) for run in _runs(np.sort(rows))]
        none = (np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32))
        found, features, values = (np.concatenate(column) for column in zip(none, *parts))
        return found, features, values

    def _run(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        indptr, features, values = self.index.csr(start, stop)
        counts: np.ndarray = np.diff(np.asarray(indptr, np.int64))
        return np.repeat(np.arange(start, stop), counts), features, values

    def __repr__(self) -> str:
        return f"<layer {self.layer}: {self.tokens.height} rows, {self.index.num_features} features>"


def _runs(rows: Int[np.ndarray, " n"]) -> Sequence[Int[np.ndarray, " m"]]:
    """Ascending numbers as runs without gaps."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else ()


def open_indexed(layer: int, index: Path, tokens: pl.DataFrame, ranked: Path | None = None) -> IndexedLayer:
    """The layer whose index and, where there is one, ranking lie in these folders.

    Raises:
        BadInput: a file of the index is missing or damaged.
    """
    associations = pl.read_parquet(ranked / ASSOCIATIONS, glob=False) if ranked is not None else None
    return IndexedLayer(layer, FeatureIndex.open(index), tokens, associations)
