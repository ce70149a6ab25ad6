"""Whether the features that rank highest for a concept pass their test, and how to call them."""

from collections.abc import Sequence

import polars as pl

from core.data.concept import Concept
from core.features.ranking import Ranking
from core.stats.families import ALPHA, corrected


def ranked_tests(layer: int, ranking: Ranking, position_sets: Sequence[str] = ()) -> pl.DataFrame:
    """The selection split's tests that features are ranked by: layer, feature, p; one row a test.

    Those of some position sets, of the decision sets where none are named; of the first word where those have none.
    """
    concept, tested = ranking.concept, ranking.associations
    for names in (position_sets or concept.decision_sets, (concept.positions.first,)):
        found = tested.filter(pl.col("position_set").is_in(list(names)))
        if found.height:
            break
    columns = (pl.lit(layer, pl.UInt16).alias("layer"), pl.col("feature").cast(pl.UInt32), pl.col("p"))
    return found.select(columns)


def with_q(features: pl.DataFrame, tests: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The features with `q`: their least p, corrected over all tests of the analysed layers (`ranked_tests`).

    `features` has layer and feature; one that was not tested has no q.
    """
    family = corrected(pl.concat(tests))
    least = family.group_by("layer", "feature").agg(pl.col("q").min())
    return features.join(least, on=["layer", "feature"], how="left", maintain_order="left")


def significant(features: pl.DataFrame) -> int:
    """How many of some features with `q` pass their test."""
    return int((features["q"] <= ALPHA).sum())


def how_many(passed: int, chosen: int) -> str:
    """How many of the chosen features pass, in words."""
    if passed == 0:
        return "none significant"
    return "all significant" if passed == chosen else f"{passed:,} of {chosen:,} significant"


def called(features: pl.DataFrame, concept: Concept) -> str:
    """The features of one layer, with `q`, as a noun phrase, which says whether they pass their test."""
    passed = significant(features)
    noun = "feature" if features.height == 1 else "features"
    if passed == 0:
        return f"the {features.height} highest-ranked {noun}, none significant"
    if passed == features.height:
        return f"{features.height} {noun} associated with {concept.name}"
    return f"the {features.height} highest-ranked {noun}, {passed} of them associated with {concept.name}"
