"""How many of the highest-ranked features have a match in the next layer, beside features that fire as often."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.causal.controls import ASSOCIATED
from core.features.ranking import Ranking
from core.stats.intervals import bootstrap_mean, permutation_p, weights
from core.stats.matching import Codes
from core.stats.rate_matching import RateMatched, match_rates

DRAWS = 1000
"""Sets of rate-matched features that are drawn."""
RANKED = 20
"""Features a layer, ranked first on the selection split, that are followed apart."""

_SHOWN: dict[str, Any] = {
    "layer": pl.UInt16,
    "next_layer": pl.UInt16,
    "feature": pl.UInt32,
    "rate": pl.Float64,
    "candidates": pl.UInt32,
    "control_rate": pl.Float64,
    "kept": pl.Boolean,
    "control_kept": pl.Float64,
}
FOLLOWED = pl.Schema(_SHOWN)
"""One row a followed feature: how often it fires, how many features it is compared with and how often they fire,
whether it has a match in the next layer, and how many of them do."""


@dataclass(frozen=True)
class Chosen:
    """A layer's highest-ranked features that are live on the compared rows, and their rate-matched ones."""

    live: tuple[int, ...]
    matched: RateMatched
    rates: Float[np.ndarray, " F"]

    @classmethod
    def of(cls, ranking: Ranking, codes: Codes) -> "Chosen":
        """The first 20 live features of the ranking; candidates passed the same filters and are not associated with the
        concept on the selection split."""
        ranked = [feature for feature in ranking.strongest() if codes.live[feature]]
        live = ranked[:RANKED]
        pool = np.zeros(codes.live.size, dtype=bool)
        rest = np.array(ranked[RANKED:], dtype=np.int64)
        pool[rest] = ranking.least_p[rest] >= ASSOCIATED
        return cls(tuple(live), match_rates(live, codes.rates, pool), codes.rates)


@dataclass(frozen=True)
class Step:
    """From one layer to the next: the lower one's chosen features, and which of its features have a match [F]."""

    layer: int
    next_layer: int
    chosen: Chosen
    kept: Bool[np.ndarray, " F"]

    @property
    def control_kept(self) -> Float[np.ndarray, " M"]:
        """The share of each matched feature's candidates that have a match in the next layer."""
        return np.array([self.kept[candidates].mean() for candidates in self.chosen.matched.candidates])

    def drawn(self, seed: int) -> Bool[np.ndarray, "draws M"]:
        """Whether the features of each drawn set have a match in the next layer."""
        return np.asarray(self.kept[self.chosen.matched.draw(DRAWS, np.random.default_rng([seed, self.layer]))])

    def table(self) -> pl.DataFrame:
        """The followed features, those without candidates too."""
        matched, rates = self.chosen.matched, self.chosen.rates
        control = dict(zip(matched.features, zip(matched.candidates, self.control_kept, strict=True), strict=True))
        rows = []
        for feature in self.chosen.live:
            candidates, kept = control.get(feature, (np.zeros(0, np.int64), math.nan))
            rate = float(rates[candidates].mean()) if candidates.size else math.nan
            shown = (self.layer, self.next_layer, feature, float(rates[feature]), int(candidates.size), rate)
            rows.append((*shown, bool(self.kept[feature]), float(kept)))
        return pl.DataFrame(rows, FOLLOWED, orient="row")


@dataclass(frozen=True)
class Beyond:
    """The share of matched features that have a match in the next layer, minus that of their candidates.

    `ranked` and `control` are the two shares; interval and null are over `chains`: features linked by matches are one
    unit. `null` is what `draws` sets of candidates have in place of the features, each on a resample of the chains.
    """

    ranked: float
    control: float
    value: float
    low: float
    high: float
    null: float
    null_low: float
    null_high: float
    features: int
    chains: int
    draws: int
    p: float | None


_NAN = math.nan
_NONE = Beyond(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, features=0, chains=0, draws=0, p=None)


def beyond_matched(steps: Sequence[Step], tracks: pl.DataFrame, resamples: int, seed: int) -> Beyond:
    """Compare the followed features of all layers with their candidates; p is two-sided."""
    some = [step for step in steps if step.chosen.matched.features]
    if not some:
        return _NONE
    kept = np.concatenate([step.kept[list(step.chosen.matched.features)] for step in some]).astype(np.float64)
    control = np.concatenate([step.control_kept for step in some])
    drawn = np.concatenate([step.drawn(seed) for step in some], axis=1) - control
    units = _chains(some, tracks)
    found = bootstrap_mean(kept - control, resamples, seed, units)
    counts = weights(units.size, DRAWS, seed + 1, units)
    null = (counts * drawn).sum(axis=1) / counts.sum(axis=1)
    low, high = np.quantile(null, [0.025, 0.975])
    return Beyond(
        ranked=float(kept.mean()),
        control=float(control.mean()),
        value=found.mean,
        low=found.low,
        high=found.high,
        null=float(null.mean()),
        null_low=float(low),
        null_high=float(high),
        features=kept.size,
        chains=np.unique(units).size,
        draws=DRAWS,
        p=permutation_p(abs(found.mean), np.abs(null)),
    )


def _chains(steps: Sequence[Step], tracks: pl.DataFrame) -> Int[np.ndarray, " E"]:
    """The chain of matches that each followed feature is part of."""
    rows = [(step.layer, feature) for step in steps for feature in step.chosen.matched.features]
    features = pl.DataFrame(rows, {"layer": pl.UInt16, "feature": pl.UInt32}, orient="row")
    joined = features.join(tracks, on=["layer", "feature"], how="left", maintain_order="left")
    return joined["track"].to_numpy().astype(np.int64)
