"""The maximum over a sentence's fragments, compared among sentences of like length alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.concepts.pairs import family_codes, mean_over_pairs, wins
from core.stats.intervals import Interval, weights

LENGTH_RATIO = 1.1
"""Two sentences are of like length where the longer has at most this many times the tokens of the shorter."""
_MARGIN = 1e-12
"""Rounding of the logarithm."""


@dataclass(frozen=True)
class MatchedPairs:
    """AUROC over pairs of like length alone.

    Args:
        area: share of the pairs in which the positive sentence scores higher, ties counted half, with its interval.
        pairs: how many pairs.
        positives: positive sentences that are in a pair.
        negatives: negative sentences that are in a pair.
    """

    area: Interval
    pairs: int
    positives: int
    negatives: int


def matched_auroc(
    maxima: Float[np.ndarray, " n"],
    tokens: Int[np.ndarray, " n"],
    positive: Int[np.ndarray, " n"],
    families: np.ndarray,
    draws: tuple[int, int],
) -> MatchedPairs:
    """AUROC of each sentence's maximum over its fragments, among sentences of like length alone.

    A longer sentence has more fragments, and the maximum of more is larger. A positive sentence is therefore compared
    with negative ones of at most 1.1 times its tokens either way, and of each such pair with a longer positive there
    counts one with a longer negative as much: pairs are weighted so that length differences cancel. NaN without pairs.

    Args:
        maxima: of one feature over each sentence's fragments.
        tokens: of each sentence.
        positive: 1 or 0.
        families: resampled for the interval.
        draws: resamples, and their seed.
    """
    labels, length = np.asarray(positive).astype(bool), np.log(tokens.astype(np.float64))
    longer = length[labels][:, None] - length[~labels][None, :]
    like = np.abs(longer) <= np.log(LENGTH_RATIO) + _MARGIN
    counts = weights(labels.size, draws[0], draws[1], family_codes(families))
    area = mean_over_pairs(wins(maxima, labels), labels, counts, like * _balance(longer, like))
    return MatchedPairs(area, int(like.sum()), int(like.any(axis=1).sum()), int(like.any(axis=0).sum()))


def _balance(longer: Float[np.ndarray, "p q"], like: Bool[np.ndarray, "p q"]) -> Float[np.ndarray, "p q"]:
    """Weights under which pairs whose positive is longer, and pairs whose negative is, differ in length as much."""
    more, less = (float((np.maximum(sign * longer, 0) * like).sum()) for sign in (1, -1))
    if not more or not less:
        return np.asarray(longer == 0, dtype=np.float64)
    return np.asarray(np.where(longer > 0, min(1, less / more), np.where(longer < 0, min(1, more / less), 1.0)))
