"""Pairs of one positive and one negative sentence: what an AUROC is a mean over, and its bootstrap over families."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.intervals import Interval


def family_codes(families: np.ndarray) -> Int[np.ndarray, " n"]:
    """A number per family."""
    return np.asarray(np.unique(families, return_inverse=True)[1])


def wins(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "p q"]:
    """1 for each pair whose positive sentence scores higher, ½ for a tie."""
    return np.asarray((np.sign(scores[positive][:, None] - scores[~positive][None, :]) + 1) / 2)


def mean_over_pairs(
    values: Float[np.ndarray, "p q"],
    positive: Bool[np.ndarray, " n"],
    counts: Int[np.ndarray, "draws n"],
    weight: Float[np.ndarray, "p q"] | None = None,
) -> Interval:
    """Weighted mean of a number per pair, with the bootstrap; resamples without a pair are left out.

    Args:
        values: per pair.
        positive: which sentences are positive.
        counts: how often each sentence stands in each resample (`core.stats.intervals.weights`).
        weight: of each pair; null: 1 each.
    """
    kept = np.ones(values.shape) if weight is None else weight
    if not kept.sum():
        return Interval(math.nan, math.nan, math.nan)
    ones, zeros = counts[:, positive].astype(np.float64), counts[:, ~positive].astype(np.float64)
    part, whole = (np.einsum("bi,bi->b", ones @ matrix, zeros) for matrix in (values * kept, kept))
    mean = float((values * kept).sum() / kept.sum())
    if (counts == counts[0]).all():  # one family
        return Interval(math.nan, mean, math.nan)
    low, high = np.quantile(part[whole > 0] / whole[whole > 0], [0.025, 0.975])
    return Interval(float(low), mean, float(high))
