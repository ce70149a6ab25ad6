"""Probes of groups (professions) that they were trained without: their area, its interval over groups, and its null."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.intervals import Interval, auroc, permutation_p, weighted_auroc
from core.stats.probes import Labelled, group_folds, unseen_scores
from core.stats.ranks import rank
from core.stats.two_level import Nested

SMALLEST_SHARE = 0.5
"""Least share of the resamples that must hold both sides in some fold for an interval to be given."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: which test units are in it, and their scores by the probe that was trained without their groups."""

    units: Int[np.ndarray, " m"]
    scores: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class GroupsOut:
    """Test units `y` [n] scored by probes that have not seen their groups; every unit lies in one fold."""

    y: Bool[np.ndarray, " n"]
    folds: tuple[Fold, ...]

    @property
    def area(self) -> float:
        """The mean over folds of the area under the ROC curve."""
        return float(np.mean([auroc(fold.scores, self.y[fold.units].astype(np.int64)) for fold in self.folds]))

    def interval(self, nested: Nested, draws: int, seed: int) -> Interval:
        """The area with its percentile interval where groups are drawn first, then units within each.

        A resample's area is the mean over the folds that hold both sides in it. One group has no interval, nor have
        so few that most resamples hold one side only.
        """
        unknown = Interval(float("nan"), self.area, float("nan"))
        if not nested.several:
            return unknown
        counts = nested.counts(draws, seed)
        areas = np.stack(
            [weighted_auroc(fold.scores, self.y[fold.units], counts[:, fold.units]) for fold in self.folds]
        )
        known = np.isfinite(areas)
        some = known.any(axis=0)
        if some.mean() < SMALLEST_SHARE:
            return unknown
        drawn = np.where(known, areas, 0).sum(axis=0)[some] / known.sum(axis=0)[some]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(float(low), self.area, float(high))

    def null(self, shuffled: Bool[np.ndarray, "n draws"]) -> Float[np.ndarray, " draws"]:
        """The area for each shuffle of the test units' labels, the probes held fixed; folds of one side count ½."""
        areas = []
        for fold in self.folds:
            labels = shuffled[fold.units].astype(np.float64)
            ones = labels.sum(axis=0)
            pairs = ones * (len(labels) - ones)
            excess = rank(fold.scores[:, None])[:, 0] @ labels
            areas.append(0.5 + np.divide(excess, pairs, out=np.zeros_like(excess), where=pairs > 0))
        return np.asarray(np.mean(areas, axis=0))

    def p(self, null: Float[np.ndarray, " draws"]) -> float:
        """Two-sided, of the area against shuffled labels."""
        return permutation_p(abs(self.area - 0.5), np.abs(null - 0.5))


def groups_out(train: Labelled, test: Labelled, strength: float) -> GroupsOut | None:
    """Train a probe for each fold of groups, without its groups; null where there are no folds."""
    parts = group_folds(train, test)
    if not parts:
        return None
    folds = tuple(Fold(np.flatnonzero(part[1]), unseen_scores(train, test, strength, part)) for part in parts)
    return GroupsOut(test.y, folds)
