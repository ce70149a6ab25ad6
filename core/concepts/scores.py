"""Every feature of every SAE scored on the selection split, with one sparse product per measure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse, stats

from core.concepts.designs import Design
from core.concepts.full_sentences import LABELS, FullSentences
from core.concepts.measures import MEASURES, SPEARMAN, Measure, two_sided
from core.concepts.sparse_ranks import SortedColumns

MEANS = tuple(f"mean_{label}" for label in LABELS)
RANKING = pl.Schema(
    {
        "sae": pl.String,
        "feature": pl.UInt32,
        "support": pl.UInt32,
        **dict.fromkeys(MEASURES, pl.Float64),
        **{f"p_{name}": pl.Float64 for name in MEASURES},
        **{f"q_{name}": pl.Float64 for name in MEASURES},
        **dict.fromkeys(MEANS, pl.Float64),
        "inversions": pl.UInt8,
    }
)
_BLOCK = 8192
"""Features whose effects under all draws are held at once."""


@dataclass(frozen=True)
class Measured:
    """One measure of M features on the n sentences that it uses.

    Args:
        measure: the measure.
        columns: the features' entries on these sentences, sorted.
        classes: what the measure tells apart.
        design: how classes may be exchanged.
    """

    measure: Measure
    columns: SortedColumns
    classes: Int[np.ndarray, " n"]
    design: Design

    @classmethod
    def of(cls, measure: Measure, sentences: FullSentences) -> "Measured":
        """Sort the features on the sentences that the measure uses."""
        used = measure.uses(sentences.labels)
        classes = measure.classes(sentences.labels[used])
        active = sentences.active if used.all() else sentences.active[used]
        return cls(measure, SortedColumns.of(active), classes, Design.of(sentences.families[used], classes))

    @cached_property
    def ranks(self) -> sparse.csc_array:
        """Shifted ranks [n, M]."""
        return self.columns.matrix(self.columns.ranks(np.ones(self.classes.size, np.int64)))

    @cached_property
    def _spread(self) -> Float[np.ndarray, " M"]:
        sums, squares = self.ranks.sum(axis=0), self.ranks.multiply(self.ranks).sum(axis=0)
        return self.measure.spread(np.maximum(squares - sums**2 / self.classes.size, 0))

    def effects(self) -> Float[np.ndarray, " M"]:
        """The measure less its null, per feature; 0 where the feature is constant."""
        target = self.measure.target(self.classes, np.ones(self.classes.size, np.int64))
        return _ratio(self.ranks.T @ target.centred, self._spread * target.norm)

    def p_values(self) -> Float[np.ndarray, " M"]:
        """Two-sided p, from the moments over all exchanges; 1 where nothing varies."""
        target = self.measure.target(self.classes, np.ones(self.classes.size, np.int64)).centred
        mean, variance, third = self.design.moments(self.ranks, target)
        above = self.ranks.T @ target - mean
        distance = _ratio(np.maximum(np.abs(above) - self.measure.step, 0), np.sqrt(variance))
        skew = np.sign(above) * _ratio(third, variance**1.5)
        return np.where(variance > 1e-9 * self.classes.size, two_sided(distance, skew), 1.0)

    def resampled(self, weights: Int[np.ndarray, " n"]) -> Float[np.ndarray, " M"]:
        """Effects where each sentence stands `weights` times, ranked again."""
        target = self.measure.target(self.classes, weights)
        entries, own = self.columns.ranks(weights), weights[self.columns.rows]
        weighted = own * entries
        squares = self.columns.sums(weighted * entries) - self.columns.sums(weighted) ** 2 / max(weights.sum(), 1)
        sums = self.columns.sums(weighted * target.centred[self.columns.rows])
        return _ratio(sums, self.measure.spread(np.maximum(squares, 0)) * target.norm)

    def exchanged(self, draws: int, seed: int) -> Iterator[tuple[int, Float[np.ndarray, "m draws"]]]:
        """Effects with exchanged classes, a block of features at a time, each with the number of its first feature."""
        weights = np.ones(self.classes.size, np.int64)
        moved = self.design.permuted(self.classes, draws, seed)
        targets = [self.measure.target(column, weights) for column in moved.T]
        centred = np.stack([target.centred for target in targets], axis=1)
        norms = np.array([target.norm for target in targets])
        for start in range(0, self.ranks.shape[1], _BLOCK):
            block = self.ranks[:, start : start + _BLOCK]
            yield start, _ratio(block.T @ centred, np.outer(self._spread[start : start + _BLOCK], norms))


@dataclass(frozen=True)
class Scores:
    """The scores of all tested features.

    Args:
        tested: the column of each of the M tested features.
        sentences: the sentences of the selection split with the tested features alone.
        measured: by measure.
        silent: features that fire on no sentence of the split.
        rare: features that fire on too few to be tested.
    """

    tested: Int[np.ndarray, " M"]
    sentences: FullSentences
    measured: dict[str, Measured]
    silent: int
    rare: int

    def table(self) -> pl.DataFrame:
        """Rows of `RANKING`, in the order of the features; q over all features and all three measures.

        p and q of a measure say whether the feature goes with the label there. `inversions` counts the pairs of
        labels, of six, whose means stand against the sign of the Spearman correlation; 0 is monotone.
        """
        effects = {name: one.effects() for name, one in self.measured.items()}
        p = {name: one.p_values() for name, one in self.measured.items()}
        q = _corrected(np.stack(list(p.values())))
        means = class_means(self.sentences.active, self.sentences.labels)
        named = self.sentences.columns
        columns: dict[str, object] = {"sae": named.saes(), "feature": named.feature}
        columns["support"] = self.sentences.support()
        columns |= {name: effect + MEASURES[name].null for name, effect in effects.items()}
        columns |= {f"p_{name}": values for name, values in p.items()}
        columns |= {f"q_{name}": values for name, values in zip(p, q, strict=True)}
        columns |= dict(zip(MEANS, means, strict=True))
        columns["inversions"] = inversions(means, effects[SPEARMAN.name])
        return pl.DataFrame(columns, schema_overrides={"sae": pl.String}).cast(RANKING)


def score_features(sentences: FullSentences, min_support: int) -> Scores:
    """Score all features on some sentences, those of the selection split.

    Args:
        sentences: the sentences to score on.
        min_support: features that fire on fewer of them are not tested. The filter does not see the labels.
    """
    support = sentences.support()
    tested = np.flatnonzero(support >= max(min_support, 1))
    kept = sentences.features(tested)
    measured = {name: Measured.of(measure, kept) for name, measure in MEASURES.items()}
    silent = int((support == 0).sum())
    return Scores(tested, kept, measured, silent, support.size - silent - tested.size)


def class_means(active: sparse.csc_array, labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "4 F"]:
    """Mean activation by label, sentences that the feature does not fire on counted as 0; NaN for a label not there."""
    member = (labels[None, :] == np.array(LABELS)[:, None]).astype(np.float64)
    counts = member.sum(axis=1, keepdims=True)
    return np.asarray(np.where(counts > 0, (active.T @ member.T).T / np.maximum(counts, 1), np.nan))


def inversions(means: Float[np.ndarray, "4 F"], sign: Float[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    """Pairs of labels whose means run against the sign of the correlation, or are equal."""
    pairs = [(low, high) for low in LABELS for high in LABELS if low < high]
    rises = np.stack([means[high] - means[low] for low, high in pairs]) * np.sign(sign)
    return np.asarray((rises <= 0).sum(axis=0))


def _corrected(p: Float[np.ndarray, "measures M"]) -> Float[np.ndarray, "measures M"]:
    return np.asarray(stats.false_discovery_control(p.ravel()).reshape(p.shape)) if p.size else p


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0))
