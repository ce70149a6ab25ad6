"""Two-sided p-values from random draws, none below what the number of draws can tell: 1 / (draws + 1)."""

import math

import numpy as np
from jaxtyping import Float, Int

_SLACK = 1e-12
"""What rounding may add, in parts of the value observed, to a draw that equals it."""
_EXACT = 12
"""Up to so many units all their signs are enumerated."""


def rank_p(own: float, drawn: Float[np.ndarray, " K"]) -> float:
    """Two-sided: the share of all K + 1 values, `own` among them, that lie as far from their mean as it.

    Exact where `own` is one of them by chance; never below 1 / (K + 1).
    """
    every = np.append(drawn, own)
    distance = np.abs(every - every.mean())
    return float(np.mean(distance >= distance[-1] - _SLACK * (1 + distance[-1])))


def least_sign_flip_p(units: int, draws: int) -> float:
    """The smallest p that `sign_flip_p` gives of so many units."""
    return 2.0 ** (1 - units) if units <= _EXACT else 1 / (draws + 1)


def sign_flip_p(
    differences: Float[np.ndarray, " n"], draws: int, seed: int, units: Int[np.ndarray, " n"] | None = None
) -> float:
    """Two-sided p that paired differences are 0 on average: how often random signs of the units sum up to as much.

    Exact for up to 12 units, whose p is never below 2 / 2^units.

    Args:
        differences: one per pair; what is not finite is left out, and without any the p is NaN.
        draws: random flips where there are more units; then no p is below 1 / (draws + 1).
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
    observed = abs(sums.sum()) - _SLACK * (1 + np.abs(sums).sum())
    if sums.size <= _EXACT:
        numbers = np.arange(2**sums.size)[:, None]
        signs = 1 - 2 * ((numbers >> np.arange(sums.size)) & 1)
        return float(np.mean(np.abs(signs @ sums) >= observed))
    signs = np.random.default_rng(seed).integers(0, 2, (draws, sums.size)) * 2 - 1
    return float((1 + np.count_nonzero(np.abs(signs @ sums) >= observed)) / (1 + draws))
