"""The best of all features against the best of all features with exchanged labels (Westfall & Young 1993)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.concepts.measures import MEASURES
from core.concepts.scores import Measured, Scores
from core.concepts.second_look import stability
from core.stats.intervals import permutation_p

QUANTILES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
NULLS = tuple(f"null_q{1000 * quantile:03.0f}" for quantile in QUANTILES)
PERMUTATION = pl.Schema(
    {
        "measure": pl.String,
        "sae": pl.String,
        "feature": pl.UInt32,
        "value": pl.Float64,
        **dict.fromkeys(("distance", "low", "high"), pl.Float64),
        "p": pl.Float64,
        "draws": pl.UInt32,
        "null_mean": pl.Float64,
        **dict.fromkeys(NULLS, pl.Float64),
    }
)


@dataclass(frozen=True)
class Best:
    """The best feature of one measure, and the best of each draw with exchanged labels.

    Args:
        feature: the best among the tested features, the first where several tie.
        effect: its effect.
        drawn: the best feature of each draw.
        drawn_effects: their effects.
    """

    feature: int
    effect: float
    drawn: Int[np.ndarray, " draws"]
    drawn_effects: Float[np.ndarray, " draws"]

    @property
    def p(self) -> float:
        """How often the best with exchanged labels is at least as far from no effect, on either side."""
        return permutation_p(abs(self.effect) - 1e-12, np.abs(self.drawn_effects))


def best_of(measured: Measured, draws: int, seed: int) -> Best:
    """The feature furthest from no effect, and that of each draw; features are read in blocks."""
    effects = measured.effects()
    feature = int(np.abs(effects).argmax())
    drawn, found = np.zeros(draws, np.int64), np.zeros(draws)
    for start, block in measured.exchanged(draws, seed):
        furthest = np.abs(block).argmax(axis=0)
        own = block[furthest, np.arange(draws)]
        further = np.abs(own) > np.abs(found)
        drawn[further], found[further] = start + furthest[further], own[further]
    return Best(feature, float(effects[feature]), drawn, found)


def permutation_table(scores: Scores, best: Mapping[str, Best], draws: int, seed: int) -> pl.DataFrame:
    """Rows of `PERMUTATION`.

    `distance` is |effect|, and so are the quantiles of the draws. `low` and `high` are its interval over `draws`
    resamples of families; the interval does not know that the feature was chosen on the same sentences.
    """
    rows = []
    for name, one in best.items():
        own = scores.sentences.features(np.array([one.feature]))
        measured = Measured.of(MEASURES[name], own)
        found = stability(measured, np.array([0]), own.families[measured.measure.uses(own.labels)], draws, seed)
        ends = sorted(np.sign(one.effect) * (float(end[0]) - measured.measure.null) for end in (found.low, found.high))
        null = np.abs(one.drawn_effects)
        row = {"measure": name, "sae": own.columns.saes()[0], "feature": int(own.columns.feature[0])}
        row |= {"value": one.effect + measured.measure.null, "distance": abs(one.effect), "p": one.p}
        row |= {"low": ends[0], "high": ends[1], "draws": null.size, "null_mean": float(null.mean())}
        rows.append(row | dict(zip(NULLS, np.quantile(null, QUANTILES).tolist(), strict=True)))
    return pl.DataFrame(rows, schema=PERMUTATION)
