"""Two-sided p-values from random draws, none below what the number of draws can tell: 1 / (draws + 1)."""

import math

import numpy as np
from jaxtyping import Float, Int

_SLACK = 1e-9
"""What rounding may add to a draw that equals the value observed."""


def two_sided_p(observed: float, draws: Float[np.ndarray, " draws"]) -> float:
    """(1 + draws at least as far from their mean as `observed`) / (1 + draws): Phipson & Smyth 2010, two-sided."""
    null = np.asarray(draws, dtype=np.float64)
    centre = null.mean() if null.size else observed
    far = np.abs(null - centre) >= abs(observed - centre) - _SLACK
    return float((1 + np.count_nonzero(far)) / (1 + null.size))


def sign_flip_p(
    differences: Float[np.ndarray, " n"], draws: int, seed: int, units: Int[np.ndarray, " n"] | None = None
) -> float:
    """Two-sided p that paired differences are 0 on average, by flipping their signs at random.

    Args:
        differences: one a pair; what is not finite is left out, and without any the p is NaN.
        draws: random flips; no p is below 1 / (draws + 1).
        seed: of the flips.
        units: what each difference belongs to; those of one unit are flipped together. Null: each is a unit.
    """
    every = np.asarray(differences, dtype=np.float64)
    kept = np.isfinite(every)
    finite = every[kept]
    if not finite.size:
        return math.nan
    _, codes = np.unique(np.arange(finite.size) if units is None else np.asarray(units)[kept], return_inverse=True)
    sums = np.bincount(codes, weights=finite)
    signs = np.random.default_rng(seed).integers(0, 2, (draws, sums.size)) * 2 - 1
    far = np.abs(signs @ sums) >= abs(sums.sum()) - _SLACK
    return float((1 + np.count_nonzero(far)) / (1 + draws))
