"""The features that an intervention is about: whether any of them passes its test, and how to call them."""

from collections.abc import Sequence

import polars as pl

from core.data.concept import Concept
from core.features.ranking import Ranking
from core.stats.families import ALPHA, corrected


def decision_tests(layer: int, ranking: Ranking) -> pl.DataFrame:
    """The selection split's tests that features are ranked by: layer, feature, p.

    Those of the decision sets; of the first word where the decision sets have none.
    """
    concept, tested = ranking.concept, ranking.associations
    for names in (concept.decision_sets, (concept.positions.first,)):
        found = tested.filter(pl.col("position_set").is_in(list(names)))
        if found.height:
            break
    columns = (pl.lit(layer, pl.UInt16).alias("layer"), pl.col("feature").cast(pl.UInt32), pl.col("p"))
    return found.select(columns)


def with_q(features: pl.DataFrame, tests: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The features with `q`: their least p, corrected over all tests of the analysed layers (`decision_tests`)."""
    family = corrected(pl.concat(tests))
    least = family.group_by("layer", "feature").agg(pl.col("q").min())
    return features.join(least, on=["layer", "feature"], how="left", maintain_order="left")


def called(features: pl.DataFrame, concept: Concept) -> str:
    """The features of one layer as a noun phrase, which says whether they pass their test."""
    passed = int((features["q"] <= ALPHA).sum())
    noun = "feature" if features.height == 1 else "features"
    if passed == 0:
        return f"the {features.height} highest-ranked {noun}, none significant"
    if passed == features.height:
        return f"{features.height} {noun} associated with {concept.name}"
    return f"the {features.height} highest-ranked {noun}, {passed} of them associated with {concept.name}"
