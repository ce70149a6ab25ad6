"""Intervals and permutation p-values over units (images, unless a caller says otherwise)."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.two_level import Nested

Z95 = 1.959963984540054
"""The standard normal quantile of a two-sided 95 % interval."""


class Interval(NamedTuple):
    """An estimate between the ends of its 95 % interval."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@lru_cache(maxsize=8)
def resamples(units: int, draws: int, seed: int) -> Int[np.ndarray, "draws units"]:
    """How often each unit stands in each bootstrap resample; rows sum to `units`. Read-only, for it is shared."""
    counts = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws)
    counts.flags.writeable = False
    return counts


def weights(
    values: int, draws: int, seed: int, units: Int[np.ndarray, " values"] | Nested | None = None
) -> Int[np.ndarray, "draws values"]:
    """How often each value stands in each bootstrap resample.

    Args:
        values: how many there are.
        draws: resamples.
        seed: of the resampling.
        units: what each value belongs to (an image and its twin are one unit): units are drawn, and bring all their
            values. Nested: groups are drawn, then units within each. Null: each value is a unit.
    """
    if units is None:
        return resamples(values, draws, seed)
    if isinstance(units, Nested):
        return units.counts(draws, seed)
    _, codes = np.unique(units, return_inverse=True)
    return resamples(int(codes.max()) + 1, draws, seed)[:, codes]


def bootstrap_mean(
    values: Float[np.ndarray, " n"], draws: int, seed: int, units: Int[np.ndarray, " n"] | Nested | None = None
) -> Interval:
    """Mean of values, with the percentile bootstrap over units (Efron & Tibshirani 1993, ch. 13).

    Values that are not finite are left out; without any, all three numbers are NaN. One unit has a mean and no
    interval: its ends are NaN. `units` as in `weights`.
    """
    every = np.asarray(values, dtype=np.float64)
    kept = np.isfinite(every)
    finite = every[kept]
    if finite.size == 0:
        return Interval(math.nan, math.nan, math.nan)
    own = units[kept] if isinstance(units, Nested) else None if units is None else np.asarray(units)[kept]
    if _is_one(finite.size, own):
        return Interval(math.nan, float(finite.mean()), math.nan)
    counts = weights(finite.size, draws, seed, own)
    low, high = np.quantile(counts @ finite / counts.sum(axis=1), [0.025, 0.975])
    return Interval(float(low), float(finite.mean()), float(high))


def bootstrap_ratio(
    part: Float[np.ndarray, " n"],
    whole: Float[np.ndarray, " n"],
    draws: int,
    seed: int,
    units: Int[np.ndarray, " n"] | Nested | None = None,
) -> Interval:
    """Sum of `part` over sum of `whole`, both resampled together; resamples without a whole are left out.

    One unit has no interval. `units` as in `weights`.
    """
    ratio = float(part.sum() / whole.sum())
    if _is_one(part.size, units):
        return Interval(math.nan, ratio, math.nan)
    counts = weights(part.size, draws, seed, units)
    wholes = counts @ whole
    low, high = np.quantile((counts @ part)[wholes > 0] / wholes[wholes > 0], [0.025, 0.975])
    return Interval(float(low), ratio, float(high))


def _is_one(values: int, units: Int[np.ndarray, " values"] | Nested | None) -> bool:
    if isinstance(units, Nested):
        return not units.several
    return (values if units is None else np.unique(units).size) < 2


def bootstrap_auroc(
    scores: Float[np.ndarray, " n"],
    positive: Int[np.ndarray, " n"],
    draws: int,
    seed: int,
    units: Int[np.ndarray, " n"] | Nested | None = None,
) -> Interval:
    """Area under the ROC curve of `scores` for `positive` (0/1), with the bootstrap over units.

    Resamples that hold one class only are left out; with one class in the data all three numbers are NaN. `units` as
    in `weights`.
    """
    area = auroc(scores, positive)
    if math.isnan(area) or _is_one(len(scores), units):
        return Interval(math.nan, area, math.nan)
    drawn = auroc_draws(scores, positive, draws, seed, units)
    low, high = np.quantile(drawn[np.isfinite(drawn)], [0.025, 0.975])
    return Interval(float(low), area, float(high))


def auroc_draws(
    scores: Float[np.ndarray, " n"],
    positive: Int[np.ndarray, " n"],
    draws: int,
    seed: int,
    units: Int[np.ndarray, " n"] | Nested | None = None,
) -> Float[np.ndarray, " draws"]:
    """The area in each bootstrap resample of the units; NaN in those that hold one class only. `units` as in
    `weights`: the same ones and the same seed give the same resamples."""
    labels = np.asarray(positive).astype(bool)
    return weighted_auroc(scores, labels, weights(labels.size, draws, seed, units))


def weighted_auroc(
    scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], counts: Int[np.ndarray, "draws n"]
) -> Float[np.ndarray, " draws"]:
    """The area where each score stands `counts` times; NaN where only one class is left."""
    wins = _wins(np.asarray(scores, dtype=np.float64), labels)
    ones, zeros = counts[:, labels].astype(np.float64), counts[:, ~labels].astype(np.float64)
    pairs = ones.sum(axis=1) * zeros.sum(axis=1)
    won = np.einsum("bi,bi->b", ones @ wins, zeros)
    return np.asarray(np.divide(won, pairs, out=np.full(len(counts), math.nan), where=pairs > 0))


def auroc(scores: Float[np.ndarray, " units"], positive: Int[np.ndarray, " units"]) -> float:
    """Area under the ROC curve, ties counted half; NaN with one class only."""
    labels = np.asarray(positive).astype(bool)
    if labels.all() or not labels.any():
        return math.nan
    return float(_wins(np.asarray(scores, dtype=np.float64), labels).mean())


def _wins(scores: Float[np.ndarray, " units"], labels: np.ndarray) -> Float[np.ndarray, "positives negatives"]:
    ahead = np.sign(scores[labels][:, None] - scores[~labels][None, :])
    return np.asarray((ahead + 1) / 2)


def bootstrap_spearman(
    x: Float[np.ndarray, " units"], y: Float[np.ndarray, " units"], draws: int, seed: int
) -> Interval:
    """Spearman's rank correlation of two values a unit, ties averaged, with the bootstrap over units.

    Resamples in which one of them is constant are left out; where one is constant in the data all three are NaN.
    """
    chosen = np.random.default_rng(seed).integers(len(x), size=(draws, len(x)))
    whole = float(_rank_correlations(x[None], y[None])[0])
    if not math.isfinite(whole):
        return Interval(math.nan, math.nan, math.nan)
    low, high = np.nanquantile(_rank_correlations(x[chosen], y[chosen]), [0.025, 0.975])
    return Interval(float(low), whole, float(high))


def _rank_correlations(x: Float[np.ndarray, "r n"], y: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
    from scipy.stats import rankdata

    first, second = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (x, y))
    scale = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    products = (first * second).sum(axis=1)
    return np.asarray(np.divide(products, scale, out=np.full(len(scale), np.nan), where=scale > 0))


def wilson(successes: float, trials: int) -> Interval:
    """A rate with its Wilson score interval (Wilson 1927); NaN without trials.

    Trials that succeed in part (a share of an image's captions) count with that part: the interval is then too wide
    rather than too narrow.
    """
    if trials == 0:
        return Interval(math.nan, math.nan, math.nan)
    rate, z2 = successes / trials, Z95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(low if successes else 0.0, rate, high if successes < trials else 1.0)  # rounding leaves 1e-17


def permutation_p(observed: float, draws: Sequence[float] | np.ndarray) -> float:
    """(1 + number of draws at least as large as `observed`) / (1 + number of draws): Phipson & Smyth 2010.

    1 where nothing was observed (NaN).
    """
    if math.isnan(observed):
        return 1.0
    null = np.asarray(draws, dtype=np.float64)
    return float((1 + np.count_nonzero(null >= observed)) / (1 + null.size))
