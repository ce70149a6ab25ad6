"""In which languages a feature goes with the concept: in all of them, in one alone, or in none for certain."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from core.activations.stream_rows import SHARED
from core.features.ranking import Ranking
from core.stats.families import ALPHA, corrected

IN_ALL = "shared"
UNCLEAR = "unclear"
NOT_ASSOCIATED = 0.05
"""A feature is of one language alone where its p is at least this in the others."""
CLASSES = pl.Schema(
    {"layer": pl.UInt16, "feature": pl.UInt32, "class": pl.String, "strength": pl.Float64, "q": pl.Float64}
)
"""One row per feature that is associated with the concept in some language: its class, its largest |AUROC − ½| over the
decision sets in the languages where it is associated, and its least q."""


def only(language: str) -> str:
    """The class of features that go with the concept in one language alone."""
    return f"{language} only"


def class_names(languages: Sequence[str]) -> tuple[str, ...]:
    """The classes that are compared, the shared one first."""
    return (IN_ALL, *map(only, languages))


def associated_languages(rankings: Mapping[int, Ranking], languages: Sequence[str]) -> pl.DataFrame:
    """The columns of `CLASSES`, from the tests on the selection split at the decision sets.

    A feature is associated in a language where q ≤ 0.05, corrected over all features, decision sets, languages and
    layers together. It is shared where it is associated in every language, of one language alone where p ≥ 0.05 at
    every decision set of all others (also for want of support), else unclear. Tests of rows that are the same in all
    languages count in each. The first word stands in where no decision set was tested.

    Args:
        rankings: of the layers that are analysed.
        languages: of the study.
    """
    tests = pl.concat([_tests(layer, ranking) for layer, ranking in rankings.items()])
    family = corrected(tests).with_columns((pl.col("auroc") - 0.5).abs().cast(pl.Float64).alias("strength"))
    shares = [_of_language(family, language) for language in languages]
    wide = shares[0]
    for other in shares[1:]:
        wide = wide.join(other, on=["layer", "feature"], how="full", coalesce=True)
    named = wide.with_columns(_class(languages).alias("class")).filter(pl.col("class").is_not_null())
    strongest = pl.max_horizontal(
        pl.when(pl.col(f"q_{language}") <= ALPHA).then(f"strength_{language}") for language in languages
    )
    least = pl.min_horizontal(f"q_{language}" for language in languages)
    found = named.select("layer", "feature", "class", strongest.alias("strength"), least.alias("q"))
    ordered = found.sort("layer", "class", "strength", "feature", descending=[False, False, True, False])
    return ordered.cast(dict(CLASSES))  # type: ignore[arg-type]


def members(classes: pl.DataFrame, layer: int, name: str) -> tuple[int, ...]:
    """The features of a class at a layer, the strongest first."""
    return tuple(classes.filter(pl.col("layer") == layer, pl.col("class") == name)["feature"].to_list())


def strength_of(classes: pl.DataFrame, layer: int, languages: Sequence[str], most: int) -> float:
    """The mean strength of the `most` strongest features of every class at a layer; those that it lacks count 0."""
    own = classes.filter(pl.col("layer") == layer, pl.col("class").is_in(class_names(languages)))
    strongest = own.group_by("class").agg(pl.col("strength").top_k(most).sum())["strength"]
    return float(strongest.sum()) / (most * len(class_names(languages)))


def _tests(layer: int, ranking: Ranking) -> pl.DataFrame:
    columns = ("language", "feature", "auroc", "p")
    for sets in (ranking.concept.decision_sets, (ranking.concept.positions.first,)):
        found = ranking.associations.filter(pl.col("position_set").is_in(list(sets)))
        if found.height:
            break
    return found.select(pl.lit(layer, pl.UInt16).alias("layer"), *columns)


def _of_language(family: pl.DataFrame, language: str) -> pl.DataFrame:
    own = family.filter(pl.col("language").is_in([language, SHARED]))
    return own.group_by("layer", "feature").agg(
        pl.col("q").min().alias(f"q_{language}"),
        pl.col("p").min().alias(f"p_{language}"),
        pl.col("strength").max().alias(f"strength_{language}"),
    )


def _class(languages: Sequence[str]) -> pl.Expr:
    associated = {language: (pl.col(f"q_{language}") <= ALPHA).fill_null(False) for language in languages}
    silent = {language: (pl.col(f"p_{language}") >= NOT_ASSOCIATED).fill_null(True) for language in languages}
    named: Any = pl.when(pl.all_horizontal(associated.values())).then(pl.lit(IN_ALL))
    for language in languages:
        others = [silent[other] for other in languages if other != language]
        named = named.when(associated[language], *others).then(pl.lit(only(language)))
    found: pl.Expr = named.when(pl.any_horizontal(associated.values())).then(pl.lit(UNCLEAR))
    return found
