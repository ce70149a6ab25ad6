"""Whether a chosen set stands out among random sets, on images that are a sample themselves."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from core.stats.permuted import rank_p, sign_flip_p


class AgainstSets(NamedTuple):
    """Means of the random sets over images (their mean and central 95 %), how many sets, and the two-sided p."""

    mean: float
    low: float
    high: float
    draws: int
    p: float


def against_sets(
    own: Float[np.ndarray, " n"],
    drawn: Float[np.ndarray, "K n"],
    flips: int,
    seed: int,
    units: Int[np.ndarray, " n"] | None = None,
) -> AgainstSets:
    """Compare a chosen set's effects with K random sets' on the same images.

    p is the larger of two two-sided p-values, so that a small one speaks against both explanations: `rank_p`, in which
    images stay and sets vary, and `sign_flip_p` of the image's difference to the mean random set, in which images vary.

    Args:
        own: effect of the chosen set, by image.
        drawn: effects of the random sets.
        flips: random signs where there are more than 12 units.
        seed: of the random signs.
        units: what each image belongs to (an image and its twin are one unit). Null: each is a unit.
    """
    if not len(drawn) or not own.size:
        return AgainstSets(math.nan, math.nan, math.nan, len(drawn), math.nan)
    means = drawn.mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    p = max(rank_p(float(own.mean()), means), sign_flip_p(own - drawn.mean(axis=0), flips, seed, units))
    return AgainstSets(float(means.mean()), float(low), float(high), len(means), p)
