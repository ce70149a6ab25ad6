"""Curves over layers against curves of shuffled labels: which statement about a layer the whole curve supports.

A curve is a score at each layer; a null curve is that of one shuffle of the labels, the same one at every layer. A
curve's statistic is the highest score that some three measured layers in a row all reach.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from core.stats.families import ALPHA
from core.stats.ranks import rank

RUN = 3
"""Measured layers in a row that a statement about a layer needs."""


@dataclass(frozen=True)
class LayerScores:
    """One layer: how well scores tell the labels apart, and how well they do for each shuffle.

    `z` and `null_z` [draws] are (AUROC − ½) over its standard deviation under shuffled labels.
    """

    auroc: float
    z: float
    null_auroc: Float[np.ndarray, " draws"]
    null_z: Float[np.ndarray, " draws"]

    @property
    def p(self) -> float:
        """Two-sided permutation p of this layer by itself: for a layer that was chosen on other images."""
        return float((1 + np.count_nonzero(np.abs(self.null_z) >= abs(self.z))) / (1 + self.null_z.size))


def layer_scores(
    scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], shuffled: Bool[np.ndarray, "n draws"]
) -> LayerScores:
    """AUROC of a probe's scores for the labels and for each shuffle of them, the probe held fixed."""
    every = np.concatenate([labels[:, None], shuffled], axis=1).astype(np.float64)
    ranked = rank(scores[:, None])[:, 0]
    n, ones = len(scores), every.sum(axis=0)
    pairs = ones * (n - ones)
    excess = ranked @ every  # U − n₁n₀/2
    deviation = np.sqrt(np.square(ranked).sum() * pairs / (n * (n - 1)))
    areas = 0.5 + np.divide(excess, pairs, out=np.zeros_like(excess), where=pairs > 0)
    z = np.divide(excess, deviation, out=np.zeros_like(excess), where=deviation > 0)
    return LayerScores(float(areas[0]), float(z[0]), areas[1:], z[1:])


def sustained(z: Float[np.ndarray, "*draws L"], run: int = RUN) -> Float[np.ndarray, "*draws"]:
    """The highest score that some `run` layers in a row all reach; −∞ with fewer layers."""
    if z.shape[-1] < run:
        return np.full(z.shape[:-1], -math.inf)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(z, run, axis=-1).min(axis=-1).max(axis=-1))


def first_sustained(layers: Sequence[int], above: Sequence[bool], run: int = RUN) -> int | None:
    """The first layer at which `above` holds for `run` measured layers in a row."""
    for start in range(len(layers) - run + 1):
        if all(above[start : start + run]):
            return layers[start]
    return None


@dataclass(frozen=True)
class CurveTest:
    """What a curve's statistic is worth.

    `p`: two-sided, of this curve. `q`: corrected over all curves of the family by the largest statistic of a shuffle
    (Westfall & Young 1993). `cut`: the score that three layers in a row must all reach for q ≤ 0.05. All are null
    where the curve has fewer than three layers.
    """

    p: float | None
    q: float | None
    cut: float | None


def curve_tests(curves: Sequence[Sequence[LayerScores]]) -> list[CurveTest]:
    """Test some curves together; their shuffles are the same ones, draw by draw, at every layer of every curve."""
    null = [_two_sided(np.stack([layer.null_z for layer in curve], axis=1)) for curve in curves]
    if not null:
        return []
    largest = np.max(null, axis=0)
    cut = _cut(largest)
    tests = []
    for curve, own in zip(curves, null, strict=True):
        if len(curve) < RUN:
            tests.append(CurveTest(None, None, None))
            continue
        statistic = float(sustained(np.array([layer.z for layer in curve])))
        p, q = ((1 + np.count_nonzero(draws >= statistic)) / (1 + draws.size) for draws in (own, largest))
        tests.append(CurveTest(float(p), float(q), cut))
    return tests


def _two_sided(null: Float[np.ndarray, "draws L"]) -> Float[np.ndarray, " draws"]:
    return np.asarray(np.maximum(sustained(null), sustained(-null)))


def _cut(largest: Float[np.ndarray, " draws"]) -> float:
    """The least statistic whose q is at most 5 %: above all but ⌊0.05 (1 + draws)⌋ − 1 of the largest ones."""
    allowed = math.floor(ALPHA * (1 + largest.size)) - 1
    if allowed < 0:
        return math.inf
    ordered = np.sort(largest)[::-1]
    return float(np.nextafter(ordered[allowed], math.inf))
