"""How well a layer's features tell the person's gender once the written word is regressed out."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped
from scipy import sparse

from core.analysis.semantics.words import Place
from core.causal.controls import ASSOCIATED
from core.features.associations import MIN_IMAGES
from core.features.layer_view import LayerView
from core.features.ranking import Ranking
from core.features.word_rows import word_means, word_rows
from core.stats.clustered import dealt
from core.stats.intervals import auroc, auroc_draws, bootstrap_auroc, permutation_p
from core.stats.permuted import rank_p
from core.stats.ranks import rank, rank_test
from core.stats.rate_matching import match_rates

LEAST_SETS = 19
"""Fewer matched sets are no control."""
_PLACE: dict[str, Any] = {"layer": pl.UInt16, "language": pl.String, "place": pl.String}
FEATURES: dict[str, Any] = {
    **_PLACE,
    "feature": pl.UInt32,
    "images": pl.UInt32,
    **dict.fromkeys(("plain", "auroc", "p"), pl.Float64),
}
"""One row per layer, place and feature that fires on enough images there: the AUROC of its mean over an image's words,
the same with the written word regressed out, and the latter's p."""
_CONTROLS = ("shuffled", "shuffled_low", "shuffled_high")
_FROZEN = ("frozen", "beyond_frozen", "beyond_frozen_low", "beyond_frozen_high")
SETS: dict[str, Any] = {
    **_PLACE,
    "top": pl.UInt32,
    "features": pl.UInt32,
    "association": pl.Float64,
    **dict.fromkeys(("plain", "auroc", "low", "high", *_CONTROLS), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("matched", "matched_low", "matched_high"), pl.Float64),
    "matched_sets": pl.UInt32,
    "p": pl.Float64,
    **dict.fromkeys(_FROZEN, pl.Float64),
}
"""One row per layer, place and number of features asked for (`top`): the AUROC over the features that go with gender,
with the written word regressed out, beside labels dealt at random, sets of features that fire as often and the frozen
dictionary. `association` is their |AUROC − ½| on the selection split, summed and divided by `top`."""


@dataclass(frozen=True)
class Draws:
    """Random draws behind controls and intervals."""

    shuffles: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class Dictionary:
    """A dictionary's features on all words of a language [W, F], and how they go with the concept."""

    means: sparse.csr_array
    ranking: Ranking

    @classmethod
    def of(cls, view: LayerView, words: pl.DataFrame) -> "Dictionary":
        """Measure the words' rows."""
        return cls(word_means(view.index, word_rows(view.table.tokens, words)), view.ranking)


@dataclass(frozen=True)
class There:
    """A dictionary at one place: its L live features by image, plain and with the written word regressed out.

    Live are features that fire on at least max(20, 1 %) of the images there, whatever their labels.
    """

    dictionary: Dictionary
    place: Place
    live: Int[np.ndarray, " L"]
    images: Int[np.ndarray, " L"]
    plain: Float[np.ndarray, "I L"]
    left: Float[np.ndarray, "I L"]

    @classmethod
    def of(cls, dictionary: Dictionary, place: Place) -> "There":
        """The features on the words of `place`."""
        means = sparse.csc_array(dictionary.means[place.rows])
        images = np.asarray(((place.of_image @ (means != 0)) > 0).sum(axis=0)).ravel()
        live = np.flatnonzero(images >= max(MIN_IMAGES, 0.01 * len(place.female)))
        return cls(dictionary, place, live, images[live], *place.by_image(sparse.csr_array(means[:, live])))

    @cached_property
    def lean(self) -> Float[np.ndarray, " L"]:
        """AUROC − ½ on the selection split: before the first gendered word at the decision sets, else at that word."""
        leans, concept = self.dictionary.ranking.leans, self.dictionary.ranking.concept
        names = concept.decision_sets if self.place.place == "before" else (concept.positions.first,)
        return np.asarray(np.sum([leans[name][self.live] for name in names], axis=0))

    def strongest(self, count: int) -> Int[np.ndarray, " m"]:
        """Columns of the live features that go most with gender."""
        order = np.argsort(-np.abs(self.lean), kind="stable")[:count]
        return np.asarray(order[self.lean[order] != 0])

    def score(self, columns: Int[np.ndarray, "..."], parts: Float[np.ndarray, "I L"]) -> Shaped[np.ndarray, "..."]:
        """The mean over the last axis' features by image [I] or [I, sets], each in its standard deviations and signed
        as it leans."""
        spread = parts.std(axis=0)
        scaled = np.divide(parts, spread, out=np.zeros_like(parts), where=spread > 0) * np.where(self.lean < 0, -1, 1)
        return np.asarray(scaled[:, columns].mean(axis=-1))

    def matched(self, chosen: Int[np.ndarray, " m"], draws: int, seed: int) -> Int[np.ndarray, "sets m"]:
        """Sets of as many other live features that fire on as many images and go with gender nowhere; fewer than 19 are
        none."""
        free = self.dictionary.ranking.least_p[self.live] >= ASSOCIATED
        found = match_rates(chosen.tolist(), self.images / len(self.plain), free)
        sets = found.sets(draws, np.random.default_rng(seed))
        return sets if len(sets) >= LEAST_SETS and not found.unmatched else np.zeros((0, 0), dtype=np.int64)


def by_feature(layer: int, there: There) -> pl.DataFrame:
    """Every live feature by itself."""
    label = there.place.female[:, None]
    plain, _ = rank_test(rank(there.plain), label)
    area, p = rank_test(rank(there.left), label)
    columns = {"feature": there.live, "images": there.images, "plain": plain[:, 0], "auroc": area[:, 0], "p": p[:, 0]}
    place = {"layer": layer, "language": there.place.language, "place": there.place.place}
    placed = pl.DataFrame(columns).with_columns(**{name: pl.lit(value) for name, value in place.items()})
    return placed.select(*FEATURES).cast(pl.Schema(FEATURES))


def by_set(layer: int, there: There, frozen: There | None, tops: tuple[int, ...], draws: Draws) -> pl.DataFrame:
    """The features that go most with gender together, for each number of them in `tops`."""
    rows: list[dict[str, Any]] = []
    place = {"layer": layer, "language": there.place.language, "place": there.place.place}
    for top in tops:
        chosen = there.strongest(top)
        if not chosen.size:
            continue
        own = there.score(chosen, there.left)
        row = {**place, "top": top, "features": chosen.size, "plain": _area(there, there.score(chosen, there.plain))}
        row["association"] = float(np.abs(there.lean[chosen]).sum()) / top
        sets = there.matched(chosen, draws.shuffles, draws.seed)
        beside = None if frozen is None else frozen.strongest(top)
        if frozen is not None and beside is not None and beside.size:
            row |= _beyond(there, own, frozen.score(beside, frozen.left), draws)
        rows.append({**row, **_tested(there, own, there.score(sets, there.left) if sets.size else None, draws)})
    return pl.DataFrame(rows, schema=SETS)


def _area(there: There, score: Float[np.ndarray, " I"]) -> float:
    return auroc(score, there.place.female.astype(np.int64))


def _tested(
    there: There, own: Float[np.ndarray, " I"], drawn: Float[np.ndarray, "I K"] | None, draws: Draws
) -> dict[str, Any]:
    """AUROC, interval and controls; p is the larger of what the dealt labels and the drawn sets give."""
    female, units = there.place.female, there.place.units
    low, area, high = bootstrap_auroc(own, female.astype(np.int64), draws.bootstrap, draws.seed, units)
    labels = dealt(female, units, draws.shuffles, draws.seed)
    shuffled = rank_test(rank(own[:, None]), labels.T)[0][0]
    row: dict[str, Any] = {"auroc": area, "low": low, "high": high, "draws": shuffled.size, "matched_sets": 0}
    row |= dict(zip(_CONTROLS, (shuffled.mean(), *np.quantile(shuffled, [0.025, 0.975])), strict=True))
    p = permutation_p(abs(area - 0.5), np.abs(shuffled - 0.5))
    if drawn is not None:
        areas = rank_test(rank(drawn), female[:, None])[0][:, 0]
        ends = np.quantile(areas, [0.025, 0.975])
        row |= {"matched": areas.mean(), "matched_low": ends[0], "matched_high": ends[1], "matched_sets": areas.size}
        p = max(p, rank_p(area, areas))
    return {**row, "p": p if math.isfinite(area) else None}


def _beyond(
    there: There, own: Float[np.ndarray, " I"], other: Float[np.ndarray, " I"], draws: Draws
) -> dict[str, float]:
    """The frozen dictionary's AUROC, and how far the own one goes beyond it, on the same resamples."""
    label = there.place.female.astype(np.int64)
    resampled = [auroc_draws(score, label, draws.bootstrap, draws.seed, there.place.units) for score in (own, other)]
    low, high = np.nanquantile(resampled[0] - resampled[1], [0.025, 0.975])
    frozen = _area(there, other)
    return dict(zip(_FROZEN, (frozen, _area(there, own) - frozen, float(low), float(high)), strict=True))
