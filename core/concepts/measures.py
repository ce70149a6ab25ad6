"""The three measures that every feature is ranked by: Spearman with the label, and two AUROCs.

Each is a sum of shifted ranks times centred targets, over a norm, so that one sparse product gives it for all features.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats


class Target(NamedTuple):
    """What ranks are multiplied with: `centred` [n], and the `norm` to divide by (0 where it does not vary)."""

    centred: Float[np.ndarray, " n"]
    norm: float


class Measure(Protocol):
    """How a feature's activation goes with the label. An effect is the measure less `null`, its value at no effect."""

    @property
    def name(self) -> str:
        """Its column in the tables."""
        ...

    @property
    def null(self) -> float:
        """Its value where there is no effect."""
        ...

    @property
    def step(self) -> float:
        """Continuity correction of the sum: half of its smallest step, 0 where it has none."""
        ...

    def uses(self, labels: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Which sentences it is measured on."""
        ...

    def classes(self, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """What it tells apart: the labels, or the two sides."""
        ...

    def target(self, classes: Int[np.ndarray, " n"], weights: Int[np.ndarray, " n"]) -> Target:
        """The target of these classes, each sentence standing there `weights` times."""
        ...

    def spread(self, squares: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
        """What else to divide by, from each feature's squared deviations of its ranks."""
        ...


@dataclass(frozen=True)
class Spearman:
    """Spearman's rank correlation with the label 0–3, ties averaged."""

    name: str = "spearman"
    null: float = 0.0
    step: float = 0.0

    def uses(self, labels: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """All of them."""
        return np.ones(labels.size, bool)

    def classes(self, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The labels."""
        return labels.astype(np.int64)

    def target(self, classes: Int[np.ndarray, " n"], weights: Int[np.ndarray, " n"]) -> Target:
        """Centred average ranks of the labels."""
        counts = np.bincount(classes, weights)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[classes]
        centred = ranks - (weights.sum() + 1) / 2
        return Target(centred, float(np.sqrt((weights * centred**2).sum())))

    def spread(self, squares: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
        """Root of the squared deviations."""
        return np.asarray(np.sqrt(squares))


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve of the labels `ones` against the labels `zeros`, ties counted half.

    `words` is how a sentence names the two sides.
    """

    name: str
    ones: tuple[int, ...]
    zeros: tuple[int, ...]
    words: str
    null: float = 0.5
    step: float = 0.5

    def uses(self, labels: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Those of either side."""
        return np.isin(labels, self.ones + self.zeros)

    def classes(self, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """1 on the first side, 0 on the other."""
        return np.isin(labels, self.ones).astype(np.int64)

    def target(self, classes: Int[np.ndarray, " n"], weights: Int[np.ndarray, " n"]) -> Target:
        """1 on the first side, centred; the norm is the number of pairs."""
        total, ones = float(weights.sum()), float((weights * classes).sum())
        return Target(classes - ones / max(total, 1), ones * (total - ones))

    def spread(self, squares: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
        """Nothing else."""
        return np.ones(squares.size)


SPEARMAN = Spearman()
CLEAN = Auroc("auroc_3_0", (3,), (0,), "clean examples against irrelevant sentences")
RELATED = Auroc("auroc_23_01", (2, 3), (0, 1), "labels 2 and 3 against 0 and 1")
AUROCS = (CLEAN, RELATED)
_SKEWED = 1e-3
"""Skewness below which a tail is taken as normal."""
MEASURES: dict[str, Measure] = {one.name: one for one in (SPEARMAN, CLEAN, RELATED)}


def two_sided(distance: Float[np.ndarray, " F"], skew: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """Twice the upper tail of a standard variable at `distance`: normal, or Pearson III where that is larger.

    Labels of uneven classes skew the sum for features that fire rarely, and a normal tail is then orders of magnitude
    too small; Pearson III has the sum's skewness too (Mielke & Berry 2007).
    """
    upward = skew > _SKEWED
    p = 2 * stats.norm.sf(distance)
    p[upward] = np.maximum(p[upward], 2 * stats.pearson3.sf(distance[upward], skew[upward]))
    return np.asarray(np.minimum(p, 1))
