"""Which of some features fire in the same rows, beyond what their segments and languages make them share."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse

from core.features.index import FeatureIndex
from core.features.row_groups import code_blocks

NETWORK = pl.Schema(
    {
        "feature": pl.UInt32,
        "partner": pl.UInt32,
        "both": pl.UInt32,
        "jaccard": pl.Float64,
        "pmi": pl.Float64,
        "pmi_within": pl.Float64,
    }
)
"""One row per pair that fires together on some row: `both` rows, Jaccard index, pmi = ln(both / expected), where the
features fire independently over all rows, and `pmi_within`, where they do so within each segment and language."""


def network(index: FeatureIndex, tokens: pl.DataFrame, features: Sequence[int]) -> pl.DataFrame:
    """The pairs of m features, from m × m counts in one pass over the index, special rows left out.

    Args:
        index: of the layer.
        tokens: its rows, with segment, language and special.
        features: at most a few hundred.
    """
    strata = _strata(tokens)
    chosen, count = np.array(features, dtype=np.int64), int(strata.max(initial=-1)) + 1
    both, fired = np.zeros((chosen.size, chosen.size)), np.zeros((count, chosen.size))
    for start, stop, block in code_blocks(index):
        kept = np.flatnonzero(strata[start:stop] >= 0)
        active = sparse.csr_array((block[kept][:, chosen] > 0).astype(np.float64))
        both += (active.T @ active).toarray()
        own = strata[start:stop][kept]
        grouping = sparse.csr_array((np.ones(own.size), (own, np.arange(own.size))), shape=(count, own.size))
        fired += (grouping @ active).toarray()
    return _table(chosen, both, fired, np.bincount(strata[strata >= 0], minlength=count))


def _strata(tokens: pl.DataFrame) -> Int[np.ndarray, " T"]:
    """Each row's segment and language as one number, −1 for special rows."""
    number = pl.struct(pl.col("segment").cast(pl.String), pl.col("language").cast(pl.String)).rank("dense")
    named = tokens.select(pl.when(~pl.col("special")).then(number.cast(pl.Int64) - 1).otherwise(-1))
    return np.asarray(named.to_series().to_numpy())


def _table(
    features: Int[np.ndarray, " m"],
    both: Float[np.ndarray, "m m"],
    fired: Float[np.ndarray, "S m"],
    rows: Int[np.ndarray, " S"],
) -> pl.DataFrame:
    one, other = np.triu_indices(features.size, k=1)
    together, total = both[one, other], fired.sum(axis=0)
    met = together > 0
    one, other, together = one[met], other[met], together[met]
    within = (fired[:, one] * fired[:, other] / np.maximum(rows, 1)[:, None]).sum(axis=0)
    columns = {
        "feature": features[one],
        "partner": features[other],
        "both": together,
        "jaccard": together / (total[one] + total[other] - together),
        "pmi": np.log(together * max(int(rows.sum()), 1) / (total[one] * total[other])),
        "pmi_within": np.log(together / within),
    }
    return pl.DataFrame(columns).cast(dict(NETWORK))  # type: ignore[arg-type]
