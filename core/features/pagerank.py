"""Which tokens a feature fires on: central ones by PageRank over tokens that it fires on together, beside strength and
lift."""

import numpy as np
import polars as pl
from scipy import sparse

from core.features.index import FeatureIndex

RANKED = pl.Schema(
    {
        "token_id": pl.UInt32,
        "token": pl.String,
        "rank": pl.Float64,
        "rows": pl.UInt32,
        "mean": pl.Float32,
        "lift": pl.Float64,
    }
)
"""Tokens by PageRank `rank` (they sum to 1): the caption `rows` that the feature is active on, its `mean` activation
there, and `lift`: how many times as frequent the token is among them as among all caption rows."""

_DAMPING = 0.85
_ITERATIONS = 60


def token_pagerank(index: FeatureIndex, tokens: pl.DataFrame, feature: int) -> pl.DataFrame:
    """Rank the caption tokens a feature fires on, strongest first.

    Two tokens are joined by Σ a·a′ over the captions in which the feature fires on both (a token with itself by Σ a²);
    ranks are the stationary distribution of a walk along these weights (Page et al. 1999, damping 0.85).
    """
    rows, values = index.csc(feature)
    counted = (pl.col("segment") == "caption") & ~pl.col("special")
    fired = tokens[np.asarray(rows)].with_columns(pl.Series("value", np.asarray(values))).filter(counted)
    if not fired.height:
        return RANKED.to_frame()
    tallies = (pl.col("token").first(), pl.len().alias("rows"), pl.col("value").mean().alias("mean"))
    nodes = fired.group_by("token_id").agg(*tallies).sort("token_id")
    captions = (
        fired.select(pl.struct("sample_id", "language").rank("dense")).to_series().to_numpy().astype(np.int64) - 1
    )
    places = np.searchsorted(nodes["token_id"].to_numpy(), fired["token_id"].to_numpy())
    by_caption = sparse.csr_array((fired["value"].to_numpy().astype(np.float64), (captions, places)))
    ranks = _stationary(sparse.csr_array(by_caption.T @ by_caption))
    everywhere = tokens.filter(counted)
    totals = everywhere.group_by("token_id").agg(pl.len().alias("total"))
    ranked = nodes.with_columns(pl.Series("rank", ranks)).join(totals, on="token_id", how="left")
    ranked = ranked.with_columns(lift=pl.col("rows") / fired.height * everywhere.height / pl.col("total"))
    return ranked.sort(-pl.col("rank"), "token_id").select(RANKED.names()).cast(RANKED)


def _stationary(weights: sparse.csr_array) -> np.ndarray:
    """The PageRank of a symmetric weight matrix without empty rows."""
    count = weights.shape[0]
    totals = np.asarray(weights.sum(axis=1)).ravel()
    ranks = np.full(count, 1 / count)
    for _ in range(_ITERATIONS):
        ranks = (1 - _DAMPING) / count + _DAMPING * (weights.T @ (ranks / totals))
    return ranks
