"""Pearson's correlation of values that come in units, with its interval."""

import math

import numpy as np
from jaxtyping import Float, Int

from core.stats.intervals import Interval, resamples


def bootstrap_correlation(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], draws: int, seed: int, units: Int[np.ndarray, " n"]
) -> Interval:
    """Pearson's correlation of two values, with the percentile bootstrap over units, which bring all their values.

    Resamples in which one of them is constant are left out; where one is constant in the data all three are NaN. One
    unit has no interval.
    """
    _, codes = np.unique(units, return_inverse=True)
    x, y = x - x.mean() if x.size else x, y - y.mean() if y.size else y
    terms = (np.ones_like(x), x, y, x * x, y * y, x * y)
    sums = np.stack([np.bincount(codes, weights=term) for term in terms], axis=1)
    whole = float(_correlation(sums.sum(axis=0, keepdims=True))[0])
    if not math.isfinite(whole) or len(sums) < 2:
        return Interval(math.nan, whole, math.nan)
    drawn = _correlation(resamples(len(sums), draws, seed) @ sums)
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, [0.025, 0.975]) if finite.size else (math.nan, math.nan)
    return Interval(float(low), whole, float(high))


def _correlation(sums: Float[np.ndarray, "draws 6"]) -> Float[np.ndarray, " draws"]:
    n, x, y, xx, yy, xy = sums.T
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    some = (spread_x > 1e-12 * n * n) & (spread_y > 1e-12 * n * n)
    scale = np.sqrt(np.where(some, spread_x * spread_y, 1))
    return np.where(some, (n * xy - x * y) / scale, np.nan)
