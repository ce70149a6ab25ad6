"""Where chosen features are tested: the language and position set of their strongest association on the selection
split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.activations.stream_rows import SHARED
from core.data.concept import IMAGE
from core.features.ranking import Ranking


@dataclass(frozen=True)
class Place:
    """Where a feature is tested: where its association is strongest on the selection split; `selected` is the AUROC
    there."""

    feature: int
    language: str
    position_set: str
    selected: float


def places(ranking: Ranking, features: Sequence[int]) -> list[Place]:
    """One place a feature and language at the decision positions (on the first word where those have nothing), and one
    on image rows; read off the selection split alone. Rows that all languages share are tested once, as `shared`."""
    concept, table = ranking.concept, ranking.associations
    decided = table.filter(pl.col("position_set").is_in(concept.decision_sets))
    spoken = table.filter(pl.col("position_set") == concept.positions.first)
    own = decided if (decided["auroc"] != 0.5).any() else spoken
    strength = (pl.col("auroc") - 0.5).abs()
    order = pl.col("position_set").replace_strict(dict(zip(concept.position_sets, range(9))), return_dtype=pl.Int64)
    strongest = own.sort(strength, order, descending=[True, False]).unique(["feature", "language"], keep="first")
    drawn = table.filter(pl.col("position_set") == IMAGE)
    columns = ["feature", "language", "position_set", pl.col("auroc").cast(pl.Float64)]
    every = pl.concat([strongest.select(columns), drawn.select(columns)]).filter(
        pl.col("feature").is_in(list(features))
    )
    return [Place(*row) for row in every.sort("feature", "language", "position_set").rows()]


def strengths(found: Sequence[Place], languages: Sequence[str]) -> dict[int, float]:
    """|AUROC − ½| on the selection split before the concept is spoken, averaged over the languages: what features are
    ranked by."""
    best: dict[tuple[int, str], float] = {}
    for place in found:
        if place.position_set != IMAGE:
            best[place.feature, place.language] = abs(place.selected - 0.5)
    features = dict.fromkeys(feature for feature, _ in best)
    return {feature: _mean_strength(best, feature, languages) for feature in features}


def _mean_strength(best: Mapping[tuple[int, str], float], feature: int, languages: Sequence[str]) -> float:
    shared = best.get((feature, SHARED), 0.0)
    return sum(max(best.get((feature, language), 0.0), shared) for language in languages) / len(languages)
