"""Where chosen features are tested: the language and position set of their strongest association on the selection
split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.data.concept import IMAGE
from core.features.associations import Labels
from core.features.ranking import Ranking

PICTURE = ""
"""Stands for a language where image rows are tested, which all languages share: they are tested once."""


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
    on image rows; read off the selection split alone."""
    concept, table = ranking.concept, ranking.associations
    decided = table.filter(pl.col("position_set").is_in(concept.decision_sets))
    spoken = table.filter(pl.col("position_set") == concept.positions.first)
    own = decided if (decided["auroc"] != 0.5).any() else spoken
    strength = (pl.col("auroc") - 0.5).abs()
    order = pl.col("position_set").replace_strict(dict(zip(concept.position_sets, range(9))), return_dtype=pl.Int64)
    strongest = own.sort(strength, order, descending=[True, False]).unique(["feature", "language"], keep="first")
    seen = (
        table.filter(pl.col("position_set") == IMAGE).group_by("feature").agg(pl.col("auroc").cast(pl.Float64).mean())
    )
    drawn = seen.select("feature", pl.lit(PICTURE).alias("language"), pl.lit(IMAGE).alias("position_set"), "auroc")
    columns = ["feature", "language", "position_set", pl.col("auroc").cast(pl.Float64)]
    every = pl.concat([strongest.select(columns), drawn]).filter(pl.col("feature").is_in(list(features)))
    return [Place(*row) for row in every.sort("feature", "language").rows()]


def strengths(found: Sequence[Place], languages: int) -> dict[int, float]:
    """|AUROC − ½| on the selection split before the concept is spoken, averaged over the languages: what features are
    ranked by."""
    strength: dict[int, float] = {}
    for place in found:
        if place.language != PICTURE:
            strength[place.feature] = strength.get(place.feature, 0) + abs(place.selected - 0.5) / languages
    return strength


def picture_labels(labels: Mapping[str, Labels]) -> Labels:
    """The images by the side that all their captions are on, whatever the language; null where languages disagree."""
    every = pl.concat([one.table for one in labels.values()])
    sides = pl.col("positive").drop_nulls().unique()
    agreed = pl.when(sides.len() == 1).then(sides.first()).otherwise(None).alias("positive")
    table = every.group_by("image_id").agg(pl.col("split").first(), agreed).sort("image_id")
    return Labels(table, next(iter(labels.values())).sides)
