"""What goes with a feature's activity: values over-represented where it fires, and how well they predict it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.intervals import Interval, resamples

PRIOR = 10.0
"""Weight of the informative prior, in observations."""
STRONG = 0.75
"""An image counts as strong for a feature when its mean activation is above this quantile over images."""


@dataclass(frozen=True)
class Enrichment:
    """Log odds and z by value (V values of one attribute), and how often each stands where the feature is active."""

    log_odds: Float[np.ndarray, " V"]
    z: Float[np.ndarray, " V"]
    active: Int[np.ndarray, " V"]
    total: Int[np.ndarray, " V"]

    def best(self, most: int, least_z: float = 1.96) -> list[int]:
        """The values most over-represented, at most `most`, none below `least_z`."""
        order = np.argsort(-self.z, kind="stable")[:most]
        return [int(value) for value in order if self.z[value] > least_z]


def enrich(values: Int[np.ndarray, " n"], active: Bool[np.ndarray, " n"], kinds: int) -> Enrichment:
    """Log-odds ratio of each value where active against elsewhere, with an informative Dirichlet prior.

    The prior has the values' overall distribution and the weight of ten observations (Monroe, Colaresi & Quinn 2008,
    eq. 16 and 20).
    """
    inside = np.bincount(values[active], minlength=kinds).astype(np.float64)
    total = np.bincount(values, minlength=kinds).astype(np.float64)
    outside = total - inside
    prior = PRIOR * np.maximum(total, 1e-9) / max(total.sum(), 1)
    logits = []
    for counts in (inside, outside):
        rest = counts.sum() + prior.sum() - counts - prior
        logits.append(np.log((counts + prior) / np.maximum(rest, 1e-9)))
    difference = logits[0] - logits[1]
    error = np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    return Enrichment(difference, difference / error, inside.astype(np.int64), total.astype(np.int64))


def balanced_accuracy(
    predicted: Bool[np.ndarray, " n"], active: Bool[np.ndarray, " n"], units: Int[np.ndarray, " n"], draws: int
) -> Interval:
    """Mean of sensitivity and specificity of a predicate, with the bootstrap over units.

    NaN where the feature is always or never active.
    """
    _, codes = np.unique(units, return_inverse=True)
    counted = [predicted & active, active, ~predicted & ~active, ~active]
    counts = np.stack([np.bincount(codes, weights=cell) for cell in counted], axis=1)
    whole = _balance(counts.sum(axis=0, keepdims=True))
    if not counts.size or not np.isfinite(whole[0]):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = _balance(resamples(len(counts), draws, 0) @ counts)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(whole[0]), float(high))


def _balance(counts: Float[np.ndarray, "draws 4"]) -> Float[np.ndarray, " draws"]:
    hit, active, rejected, silent = counts.T
    some = (active > 0) & (silent > 0)
    share = hit / np.maximum(active, 1) + rejected / np.maximum(silent, 1)
    return np.where(some, share / 2, np.nan)
