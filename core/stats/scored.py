"""Scores of probes on the same rows: the area under their ROC curves, and by how much one probe's exceeds another's."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.intervals import auroc, auroc_draws
from core.stats.ranks import rank


@dataclass(frozen=True, eq=False)
class Scored:
    """`scores` of rows, one column a class, beside `truth`, whether the row is of the class; `units` are what rows
    belong to (an image and its twin are one unit)."""

    scores: Float[np.ndarray, "n C"]
    truth: Bool[np.ndarray, "n C"]
    units: Int[np.ndarray, " n"]

    @property
    def area(self) -> float:
        """The mean over classes of the area under the ROC curve; NaN where no class has rows on both sides."""
        areas = np.array([auroc(s, y.astype(np.int64)) for s, y in zip(self.scores.T, self.truth.T)])
        known = areas[np.isfinite(areas)]
        return float(known.mean()) if known.size else math.nan

    def area_draws(self, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
        """`area` in each bootstrap resample of the units; the same units and seed give the same resamples."""
        parts = [
            auroc_draws(s, y.astype(np.int64), draws, seed, self.units) for s, y in zip(self.scores.T, self.truth.T)
        ]
        return np.asarray(np.mean(parts, axis=0))


@dataclass(frozen=True)
class Excess:
    """By how much one probe's area exceeds another's: `value` with its interval, and the same where the two are
    exchangeable (`null`, its central 95 %, two-sided `p`)."""

    value: float
    low: float
    high: float
    null: float
    null_low: float
    null_high: float
    p: float


def excess(one: Scored, other: Scored, draws: int, seed: int) -> Excess:
    """Compare two probes on the same rows: the bootstrap over units gives the interval; for the null the two probes'
    ranks of a unit's rows are swapped at random (Bandos, Rockette & Gur 2005)."""
    value = one.area - other.area
    low, high = np.nanquantile(one.area_draws(draws, seed) - other.area_draws(draws, seed), [0.025, 0.975])
    null = _swapped(one, other, draws, seed)
    ends = np.quantile(null, [0.025, 0.975])
    p = (1 + np.count_nonzero(np.abs(null) >= abs(value) - 1e-12)) / (1 + draws)
    return Excess(value, float(low), float(high), float(null.mean()), float(ends[0]), float(ends[1]), float(p))


def _swapped(one: Scored, other: Scored, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    _, codes = np.unique(one.units, return_inverse=True)
    swap = np.random.default_rng(seed).random((int(codes.max()) + 1, draws))[codes] < 0.5
    found = []
    for first, second, truth in zip(rank(one.scores).T, rank(other.scores).T, one.truth.T):
        mixed = [np.where(swap, a[:, None], b[:, None]) for a, b in ((second, first), (first, second))]
        pairs = truth.sum() * (~truth).sum()
        own, its = (rank(values).T @ truth / pairs for values in mixed)
        found.append(own - its)
    return np.asarray(np.mean(found, axis=0))
