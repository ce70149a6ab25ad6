"""Which tokens are central to a feature: PageRank over tokens that it fires on together."""

import numpy as np
import polars as pl
from scipy import sparse

from core.activations.table import LayerTable
from core.features.index import FeatureIndex

RANKED = pl.Schema({"token_id": pl.UInt32, "token": pl.String, "rank": pl.Float64, "rows": pl.UInt32})
"""Tokens by PageRank (they sum to 1), with the caption rows the feature is active on."""

_DAMPING = 0.85
_ITERATIONS = 60


def token_pagerank(index: FeatureIndex, table: LayerTable, feature: int) -> pl.DataFrame:
    """Rank the caption tokens a feature fires on, strongest first.

    Two tokens are joined by Σ a·a′ over the captions in which the feature fires on both (a token with itself by Σ a²);
    ranks are the stationary distribution of a walk along these weights (Page et al. 1999, damping 0.85).
    """
    rows, values = index.csc(feature)
    fired = table.tokens[np.asarray(rows)].with_columns(pl.Series("value", np.asarray(values)))
    fired = fired.filter((pl.col("segment") == "caption") & ~pl.col("special"))
    if not fired.height:
        return RANKED.to_frame()
    nodes = fired.group_by("token_id").agg(pl.col("token").first(), pl.len().alias("rows")).sort("token_id")
    captions = (
        fired.select(pl.struct("sample_id", "language").rank("dense")).to_series().to_numpy().astype(np.int64) - 1
    )
    places = np.searchsorted(nodes["token_id"].to_numpy(), fired["token_id"].to_numpy())
    by_caption = sparse.csr_array((fired["value"].to_numpy().astype(np.float64), (captions, places)))
    ranks = _stationary(sparse.csr_array(by_caption.T @ by_caption))
    return (
        nodes.with_columns(pl.Series("rank", ranks))
        .sort(-pl.col("rank"), "token_id")
        .select(RANKED.names())
        .cast(RANKED)
    )


def _stationary(weights: sparse.csr_array) -> np.ndarray:
    """The PageRank of a symmetric weight matrix without empty rows."""
    count = weights.shape[0]
    totals = np.asarray(weights.sum(axis=1)).ravel()
    ranks = np.full(count, 1 / count)
    for _ in range(_ITERATIONS):
        ranks = (1 - _DAMPING) / count + _DAMPING * (weights.T @ (ranks / totals))
    return ranks
