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


def enrich(
    values: Int[np.ndarray, " n"],
    active: Bool[np.ndarray, " n"],
    kinds: int,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Enrichment:
    """Log-odds ratio of each value where active against elsewhere, with an informative Dirichlet prior.

    The prior has the values' overall distribution and the weight of ten observations (Monroe, Colaresi & Quinn 2008,
    eq. 16 and 20).

    Args:
        values: the number of each observation's value.
        active: whether the feature is active there.
        kinds: how many values there are, V.
        weights: how much each observation counts (one caption of three counts a third); null: 1 each.
    """
    weights = np.ones(values.size) if weights is None else weights
    inside, total = (
        np.bincount(values[part], weights=weights[part], minlength=kinds) for part in (active, np.ones_like(active))
    )
    outside = total - inside
    prior = PRIOR * np.maximum(total, 1e-9) / max(total.sum(), 1)
    logits = []
    for counts in (inside, outside):
        rest = counts.sum() + prior.sum() - counts - prior
        logits.append(np.log((counts + prior) / np.maximum(rest, 1e-9)))
    difference = logits[0] - logits[1]
    error = np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    counted = [np.bincount(values[part], minlength=kinds) for part in (active, np.ones_like(active))]
    return Enrichment(difference, difference / error, counted[0], counted[1])


def balanced_accuracy(
    predicted: Bool[np.ndarray, " n"],
    active: Bool[np.ndarray, " n"],
    units: Int[np.ndarray, " n"],
    draws: int,
    seed: int,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Interval:
    """Mean of sensitivity and specificity of a predicate, with the bootstrap over units.

    NaN where the feature is always or never active. Without draws the ends are the value itself.

    Args:
        predicted: where the predicate holds.
        active: where the feature is active.
        units: what each observation belongs to (an image and its twin are one unit); units are resampled.
        draws: resamples.
        seed: of the resampling.
        weights: how much each observation counts; null: 1 each.
    """
    weights = np.ones(active.size) if weights is None else weights
    _, codes = np.unique(units, return_inverse=True)
    counted = [predicted & active, active, ~predicted & ~active, ~active]
    counts = np.stack([np.bincount(codes, weights=cell * weights) for cell in counted], axis=1)
    whole = _balance(counts.sum(axis=0, keepdims=True))
    if not counts.size or not np.isfinite(whole[0]):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = _balance(resamples(len(counts), draws, seed) @ counts) if draws else whole
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(whole[0]), float(high))


def _balance(counts: Float[np.ndarray, "draws 4"]) -> Float[np.ndarray, " draws"]:
    hit, active, rejected, silent = counts.T
    some = (active > 0) & (silent > 0)
    share = hit / np.where(some, active, 1) + rejected / np.where(some, silent, 1)
    return np.where(some, share / 2, np.nan)
