"""Rank tests of many features at once, for one labelling or for many."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats


def rank(values: Float[np.ndarray, "n F"]) -> Float[np.ndarray, "n F"]:
    """Average ranks within each feature, centred."""
    if not values.size:
        return np.zeros(values.shape)
    return np.asarray(stats.rankdata(values, axis=0) - (values.shape[0] + 1) / 2)


def rank_test(
    ranked: Float[np.ndarray, "n F"], labels: Bool[np.ndarray, "n draws"]
) -> tuple[Float[np.ndarray, "F draws"], Float[np.ndarray, "F draws"]]:
    """AUROC and two-sided Mann-Whitney p (normal, tie- and continuity-corrected) for each labelling.

    The variance n₁n₀/(n(n−1)) · Σ(r − r̄)² of a sum of average ranks is the tie-corrected one (Lehmann 1975, p. 20).
    """
    n = ranked.shape[0]
    ones = labels.sum(axis=0, dtype=np.float64)
    pairs = ones * (n - ones)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = ranked.T @ labels.astype(np.float64)  # U − n₁n₀/2
        deviation = np.sqrt(np.outer((ranked**2).sum(axis=0), pairs / (n * (n - 1))))
        z = np.maximum(np.abs(excess) - 0.5, 0) / deviation
        areas = 0.5 + excess / pairs
    p = np.where(deviation > 0, np.minimum(2 * stats.norm.sf(z), 1), 1.0)
    return areas, p
