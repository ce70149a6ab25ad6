"""The pointing game of the chosen features against sets of other features that fire as often."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.causal.controls import ASSOCIATED
from core.data.concept import IMAGE
from core.features.profile import SEGMENTS, Profile
from core.features.ranking import Ranking
from core.lm.patched import IMAGE as IMAGE_SEGMENT
from core.stats.intervals import Interval, bootstrap_mean, permutation_p, weights
from core.stats.rate_matching import RateMatched, match_rates

DRAWS = 1000
"""Sets of matched features that are drawn at most."""


@dataclass(frozen=True)
class ImageResampling:
    """How intervals are drawn: the `units` [N] of the test images, the number of resamples, and their seed."""

    units: Int[np.ndarray, " N"]
    draws: int
    seed: int

    def mean(self, values: Float[np.ndarray, " N"]) -> Interval:
        """The mean over images that have a value, with the bootstrap over units."""
        return bootstrap_mean(values, self.draws, self.seed, self.units)


@dataclass(frozen=True)
class Comparison:
    """Measured minus control, averaged over the `images` on which both fire.

    `control` is the control's own mean there; `null` is the mean, between the 2.5th and 97.5th percentiles, of what
    `draws` sets of matched features have in place of the measured ones; p is two-sided, null without draws.
    """

    control: float
    images: int
    above: Interval
    null: Interval
    draws: int
    p: float | None

    def described(self) -> dict[str, float | int | None]:
        """Columns of a row that is not tested."""
        low, mean, high = self.above
        found = {"control": self.control, "compared": self.images, "above_control": mean}
        return {**found, "above_control_low": low, "above_control_high": high}

    def tested(self) -> dict[str, float | int | None]:
        """Columns of a row that is."""
        low, mean, high = self.null
        null = {"null": mean, "null_low": low, "null_high": high}
        return {**self.described(), **null, "draws": self.draws, "p": self.p}


_UNKNOWN = Interval(math.nan, math.nan, math.nan)
_NOTHING = Comparison(math.nan, 0, _UNKNOWN, _UNKNOWN, 0, None)


def match_features(ranking: Ranking, profile: Profile, features: Sequence[int]) -> RateMatched:
    """Find features that fire on as many image rows of the selection split, pass the same support filter, and are not
    associated with the concept there in any position set."""
    tested = ranking.associations.filter(pl.col("position_set") == IMAGE)["feature"].unique().to_numpy()
    pool = np.zeros(ranking.num_features, dtype=bool)
    pool[tested] = ranking.least_p[tested] >= ASSOCIATED
    segment = SEGMENTS.index(IMAGE_SEGMENT)
    rows = profile.rows[segment]
    rates = np.asarray((profile.rate[segment] * rows[:, None]).sum(axis=0) / max(rows.sum(), 1))
    return match_rates(features, rates, pool)


def by_image(scores: Float[np.ndarray, "n N"]) -> Float[np.ndarray, " N"]:
    """The mean over n features of each image, NaN where all are."""
    known = np.isfinite(scores)
    total = np.where(known, scores, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def compare(
    own: Float[np.ndarray, "n N"],
    features: Sequence[int],
    matched: RateMatched,
    scores: Mapping[int, Float[np.ndarray, " N"]],
    resampling: ImageResampling,
) -> Comparison:
    """Compare features with sets of matched ones, each set averaged by image as the features are.

    A draw stands for the features on a resample of the images' units, so that p carries the variation of features and
    of images; so does the interval, which resamples the features and the units.

    Args:
        own: the features' scores by image, NaN where they are silent.
        features: their numbers; without a match among them there is no comparison.
        matched: their candidates.
        scores: the candidates' scores by image.
        resampling: of the interval; draws come from the same seed.
    """
    sets = matched.of(features).sets(DRAWS, np.random.default_rng([resampling.seed, 1]))
    if not sets.size:
        return _NOTHING
    drawn = np.stack([by_image(np.stack([scores[int(feature)] for feature in one])) for one in sets])
    measured, control = by_image(own), by_image(drawn)
    both = np.isfinite(measured) & np.isfinite(control)
    if not both.any():
        return _NOTHING
    units = np.asarray(resampling.units)[both]
    found = float((measured - control)[both].mean())
    picked = np.random.default_rng([resampling.seed, 4]).integers(len(own), size=(resampling.draws, len(own)))
    again = np.stack([by_image(own[one]) for one in picked])
    above = _resampled((again - control)[:, both], units, resampling.seed)
    null = _resampled((drawn - control)[:, both], units, resampling.seed + 1)
    p = permutation_p(abs(found), np.abs(null))
    spread = _between(null, float(null.mean()))
    return Comparison(float(control[both].mean()), int(both.sum()), _between(above, found), spread, null.size, p)


def _between(draws: Float[np.ndarray, " draws"], mean: float) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(low), mean, float(high))


def _resampled(
    excess: Float[np.ndarray, "sets n"], units: Int[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, " sets"]:
    """Each set's mean over a resample of its own; sets that are silent on all of it are left out."""
    counts = weights(units.size, len(excess), seed, units)
    known = counts * np.isfinite(excess)
    total = (known * np.nan_to_num(excess)).sum(axis=1)
    fired = known.sum(axis=1)
    return np.asarray(total[fired > 0] / fired[fired > 0])
