"""Tests of a score on held-out sentences: against exchanged labels, and against another score."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from core.concepts.designs import Design
from core.concepts.pairs import family_codes, mean_over_pairs, wins
from core.stats.intervals import Interval, permutation_p, weights

_MARGIN = 1e-12
"""Rounding that a draw may lie below the value it equals."""


def exchange_p(
    scores: Float[np.ndarray, " n"], positive: Int[np.ndarray, " n"], families: np.ndarray, draws: int, seed: int
) -> float:
    """One-sided p that a score's AUROC is above ½: how often exchanged labels reach as much (`Design`)."""
    ranks = stats.rankdata(scores)
    ranks -= ranks.mean()
    moved = np.column_stack([positive, Design.of(families, positive).permuted(positive, draws, seed)])
    ones = moved.sum(axis=0)
    areas = ranks @ moved / np.maximum(ones * (len(positive) - ones), 1)
    return permutation_p(areas[0] - _MARGIN, areas[1:])


@dataclass(frozen=True)
class Comparison:
    """The AUROC of one score less that of another on the same sentences.

    Args:
        difference: with its paired bootstrap interval over families.
        p: two-sided, from exchanging the two scores of whole families.
        null_mean: mean difference where they are exchanged.
        null_low: 2.5th percentile.
        null_high: 97.5th percentile.
        draws: exchanges.
    """

    difference: Interval
    p: float
    null_mean: float
    null_low: float
    null_high: float
    draws: int


def compare(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    positive: Int[np.ndarray, " n"],
    families: np.ndarray,
    draws: tuple[int, int, int],
) -> Comparison:
    """Compare two scores; `draws` are the resamples, the exchanges, and the seed of both.

    Scores are ranked before they are exchanged, so that they are on one scale (Venkatraman & Begg 1996).
    """
    resamples, exchanges, seed = draws
    codes, ranked = family_codes(families), np.stack([stats.rankdata(part) for part in (first, second)])
    labels = np.asarray(positive).astype(bool)
    differences = wins(ranked[0], labels) - wins(ranked[1], labels)
    found = mean_over_pairs(differences, labels, weights(labels.size, resamples, seed, codes))
    swapped = np.random.default_rng(seed).random((exchanges, int(codes.max()) + 1)) < 0.5
    swapped = swapped[:, codes]
    null = _areas(np.where(swapped, ranked[1], ranked[0]), labels) - _areas(
        np.where(swapped, ranked[0], ranked[1]), labels
    )
    low, high = np.quantile(null, [0.025, 0.975])
    p = permutation_p(abs(found.mean) - _MARGIN, np.abs(null))
    return Comparison(found, p, float(null.mean()), float(low), float(high), exchanges)


def _areas(scores: Float[np.ndarray, "draws n"], labels: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " draws"]:
    ones = int(labels.sum())
    ranks = stats.rankdata(scores, axis=1)[:, labels].sum(axis=1)
    return np.asarray((ranks - ones * (ones + 1) / 2) / max(ones * (labels.size - ones), 1))
