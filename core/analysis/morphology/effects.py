"""What form and referent do to a layer's features: feature by feature, and over those that go with gender."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import sparse

from core.analysis.morphology.generic import Generic
from core.analysis.morphology.measured import Measured, OnWords
from core.analysis.morphology.words import Stratum
from core.stats.clustered import Dealt, Regression, regress, two_way
from core.stats.intervals import permutation_p
from core.stats.permuted import rank_p

EFFECTS = ("form", "referent", "both")
"""The terms of the design after the constant; `both` is form by referent."""
LEAST_SETS = 19
"""Fewer matched sets are no control."""
_SLACK = 1e-9
"""What rounding may add to a deal with the very same labels."""
_PLACE: dict[str, Any] = {"layer": pl.UInt16, "words": pl.String, "suffix": pl.String}
_OF_FEATURE = ("", "_low", "_high", "_least", "_most", "_p")
_OF_SET = ("value", "low", "high", "least", "most", "shuffled", "shuffled_low", "shuffled_high")
_FROZEN = ("frozen", "beyond_frozen", "beyond_frozen_low", "beyond_frozen_high")
FEATURES: dict[str, Any] = {
    **_PLACE,
    "feature": pl.UInt32,
    "units": pl.UInt32,
    **{f"{effect}{part}": pl.Float64 for effect in EFFECTS for part in _OF_FEATURE},
}
"""One row per layer, stratum and live feature: each effect in standard deviations of the feature, its interval, its
extremes with one word left out, and its p."""
SETS: dict[str, Any] = {
    **_PLACE,
    "effect": pl.String,
    "top": pl.UInt32,
    "features": pl.UInt32,
    "association": pl.Float64,
    **dict.fromkeys(_OF_SET, pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("matched", "matched_low", "matched_high"), pl.Float64),
    "matched_sets": pl.UInt32,
    "p": pl.Float64,
    **dict.fromkeys(_FROZEN, pl.Float64),
}
"""One row per layer, stratum, effect (form, referent, generic) and number of features asked for (`top`): the effect
over the features that go with gender, each signed as it does and in its standard deviations, beside labels dealt at
random, sets of features that fire as often, and the frozen dictionary. `association` is their |AUROC − ½| on the
selection split, summed and divided by `top`: features that do not fire there count as 0."""


@dataclass(frozen=True)
class Layer:
    """A layer's dictionary on the words, and its frozen one, if there is one."""

    layer: int
    own: Measured
    frozen: Measured | None


@dataclass(frozen=True)
class Task:
    """A stratum with its designs of dealt labels by effect, which are the same in every layer; `sets` and `seed` are of
    the matched features."""

    stratum: Stratum | Generic
    dealt: Mapping[str, Dealt]
    sets: int
    seed: int

    @classmethod
    def of(cls, stratum: Stratum | Generic, draws: int, seed: int) -> "Task":
        """What is to be measured of a stratum."""
        return cls(stratum, {one: stratum.dealt(one, draws, seed) for one in stratum.tested}, draws, seed)


def by_feature(layer: Layer, stratum: Stratum) -> pl.DataFrame:
    """Every live feature's effects."""
    there = OnWords.of(layer.own, stratum)
    if not there.live.size:
        return pl.DataFrame(schema=FEATURES)
    found = _fitted(stratum, sparse.csr_array(there.z @ sparse.diags_array(layer.own.signs[there.live])))
    low, high = found.interval()
    columns: dict[str, Any] = {"feature": there.live, "units": there.units[there.live]}
    for term, effect in enumerate(EFFECTS, start=1):
        parts = (found.coefficients, low, high, found.least, found.most, found.p)
        columns |= {f"{effect}{name}": part[term] for name, part in zip(_OF_FEATURE, parts, strict=True)}
    place = {"layer": layer.layer, "words": stratum.words, "suffix": stratum.suffix}
    placed = pl.DataFrame(columns).with_columns(**{name: pl.lit(value) for name, value in place.items()})
    return placed.select(*FEATURES).cast(pl.Schema(FEATURES))


def by_set(layer: Layer, task: Task, tops: tuple[int, ...]) -> pl.DataFrame:
    """The effects over the features that go most with gender, for each number of them in `tops`.

    Where some of them have features that fire as often, only those are measured, so that both sets are of one size.
    """
    stratum = task.stratum
    there = OnWords.of(layer.own, stratum)
    frozen = None if layer.frozen is None else OnWords.of(layer.frozen, stratum)
    rows: list[dict[str, Any]] = []
    for top in tops:
        chosen = there.strongest(top)
        matched = there.matched(chosen)
        sets = matched.sets(task.sets, np.random.default_rng([task.seed, layer.layer]))
        features = list(matched.features) if len(sets) >= LEAST_SETS else chosen
        if not features:
            continue
        own = there.of_set(features)
        drawn = np.stack([there.of_set(one) for one in sets]) if len(sets) >= LEAST_SETS else None
        about = {"layer": layer.layer, "words": stratum.words, "suffix": stratum.suffix, "top": top}
        about |= {"features": len(features), "association": float(np.abs(layer.own.lean[features]).sum()) / top}
        beside = _difference(stratum, own, frozen, top)
        for row in _rows(task, own, drawn):
            rows.append({**about, **row, **beside.get(row["effect"], {})})
    return pl.DataFrame(rows, schema=SETS)


def _rows(task: Task, own: Float[np.ndarray, " n"], drawn: Float[np.ndarray, "K n"] | None) -> Iterator[dict[str, Any]]:
    """The effects of one set, beside their controls; p is the largest of what words and images together, the dealt
    labels and the drawn sets give."""
    stratum = task.stratum
    found = _fitted(stratum, own[:, None])
    low, high = found.interval()
    others = None if drawn is None else regress(stratum.x, drawn.T, stratum.stems).coefficients
    for term, effect in enumerate(stratum.tested, start=1):
        value, p = float(found.coefficients[term, 0]), float(found.p[term, 0])
        shuffled = task.dealt[effect].coefficients(own)
        ends = np.quantile(shuffled, [0.025, 0.975]) if shuffled.size else (math.nan, math.nan)
        row = {"effect": effect, "value": value, "low": low[term, 0], "high": high[term, 0], "draws": shuffled.size}
        row |= {"least": found.least[term, 0], "most": found.most[term, 0]}
        row |= {"shuffled": shuffled.mean() if shuffled.size else math.nan}
        row |= {"shuffled_low": ends[0], "shuffled_high": ends[1], "matched_sets": 0}
        ps = [p, permutation_p(abs(value) * (1 - _SLACK), np.abs(shuffled))]
        if others is not None:
            ends = np.quantile(others[term], [0.025, 0.975])
            row |= {"matched": others[term].mean(), "matched_low": ends[0], "matched_high": ends[1]}
            row["matched_sets"] = others.shape[1]
            ps.append(rank_p(value, others[term]))
        row["p"] = max(ps) if all(map(math.isfinite, ps)) else None
        yield row


def _difference(
    stratum: Stratum | Generic, own: Float[np.ndarray, " n"], frozen: OnWords | None, top: int
) -> dict[str, dict[str, float]]:
    """By effect, the frozen dictionary's, and how far the own one goes beyond it; empty without one."""
    chosen = [] if frozen is None else frozen.strongest(top)
    if frozen is None or not chosen:
        return {}
    other = frozen.of_set(chosen)
    beyond = _fitted(stratum, (own - other)[:, None])
    low, high = beyond.interval()
    plain = regress(stratum.x, other[:, None], stratum.stems).coefficients
    return {
        effect: dict(zip(_FROZEN, (float(part[term, 0]) for part in (plain, beyond.coefficients, low, high))))
        for term, effect in enumerate(stratum.tested, start=1)
    }


def _fitted(stratum: Stratum | Generic, y: Float[np.ndarray, "n F"] | sparse.csr_array) -> Regression:
    """The regression whose errors allow for whatever words share and whatever images share."""
    return two_way(stratum.x, y, stratum.stems, stratum.units)
