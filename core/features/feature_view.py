"""One feature of a layer's SAE as a reader sees it: how often it fires, where, and what it is like."""

from dataclasses import dataclass
from typing import Any

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.activations.table import LayerTable
from core.features import examples
from core.features.index import FeatureIndex
from core.features.pagerank import token_pagerank
from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True, repr=False)
class FeatureView:
    """One feature, over the rows of its layer."""

    feature: int
    table: LayerTable
    sae: SparseAutoencoder
    index: FeatureIndex

    @property
    def statistics(self) -> dict[str, Any]:
        """How often and how strongly it fires: the columns of `core.features.statistics.FEATURES`."""
        return self._of(self.index.features).row(0, named=True)

    @property
    def positions(self) -> pl.DataFrame:
        """How often and how strongly by language and position set, where it fires at all."""
        return self._of(self.index.positions)

    @property
    def neighbours(self) -> pl.DataFrame:
        """The features of most similar decoder directions, the nearest first."""
        return self._of(self.index.neighbours)

    @property
    def coactivation(self) -> pl.DataFrame:
        """The features that fire in the same rows, by Jaccard index."""
        return self._of(self.index.coactivation)

    @property
    def tokens(self) -> pl.DataFrame:
        """The caption tokens that it fires on, by PageRank, beside its mean activation there and their lift: the
        columns of `core.features.pagerank.RANKED`."""
        return token_pagerank(self.index, self.table, self.feature)

    @property
    def activations(self) -> pl.DataFrame:
        """The tokens of the rows that it is active in, in the table's order, and its `value` there."""
        rows, values = self.index.csc(self.feature)
        return self.table.tokens[rows].with_columns(pl.Series("value", values, pl.Float32))

    @property
    def direction(self) -> Float[Tensor, " D"]:
        """What one unit of it adds to the stream: its row of the decoder."""
        return self.sae.W_dec.detach()[self.feature]

    def examples(self, quantiles: int = 4, contexts: int = 3, window: int = 32) -> pl.DataFrame:
        """Up to `contexts` rows from each of `quantiles` bands of its activations, strongest band first, each with
        the `window` tokens around it: the columns of `core.features.examples.EXAMPLES`."""
        return examples.examples(self.index, self.table, self.feature, quantiles, contexts, window)

    def _of(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.filter(feature=self.feature)

    def __repr__(self) -> str:
        return f"<feature {self.feature} of layer {self.table.layer}: active in {self.statistics['count']} rows>"
