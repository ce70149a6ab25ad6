"""One feature of a layer's SAE as a reader sees it: how often it fires, where, what it is like, and what it writes."""

from dataclasses import dataclass

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.features.indexed_layer import IndexedFeature
from core.features.pagerank import token_pagerank
from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True, repr=False)
class FeatureView(IndexedFeature):
    """One feature of the SAE of layer `layer`."""

    layer: int
    sae: SparseAutoencoder

    @property
    def tokens(self) -> pl.DataFrame:
        """The caption tokens that it fires on, by PageRank, beside its mean activation there and their lift: the
        columns of `core.features.pagerank.RANKED`."""
        return token_pagerank(self.index, self.rows, self.feature)

    @property
    def direction(self) -> Float[Tensor, " D"]:
        """What one unit of it adds to the stream: its row of the decoder."""
        return self.sae.W_dec.detach()[self.feature]

    def __repr__(self) -> str:
        return f"<feature {self.feature} of layer {self.layer}: active in {self.statistics['count']} rows>"
