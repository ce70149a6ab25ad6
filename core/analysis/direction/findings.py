"""The estimates of the concept's direction."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from core.data.concept import Concept
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within

MEANS = "difference of means"
_NAMES = {MEANS: "means", "LDA": "lda"}
_RANDOM = "directions drawn from the stream's covariance, either way"


def picked(separation: pl.DataFrame, decision_sets: tuple[str, str]) -> pl.DataFrame:
    """Each place and method at the layer where the difference of means tells selection images apart best, with q over
    the places before the concept is spoken, and over the others."""
    keys = ["language", "position_set"]
    ranked = separation.filter(pl.col("method") == MEANS, pl.col("auroc_select").is_not_null())
    best = ranked.sort("auroc_select", "layer", descending=[True, False]).unique(
        keys, keep="first", maintain_order=True
    )
    rows = separation.join(best.select(*keys, "layer"), on=[*keys, "layer"], how="semi")
    return corrected_within(rows.sort(*keys, "method"), pl.col("position_set").is_in(list(decision_sets)))


def findings(best: pl.DataFrame, concept: Concept, layers: int, counted: str) -> tuple[Estimate, ...]:
    """One estimate per language, position set and method; on the word itself of the difference of means alone.

    Args:
        best: `picked`.
        concept: its decision sets are the places that answer the question.
        layers: how many the layer was picked among.
        counted: images or items.
    """
    decision_sets = concept.decision_sets
    chosen = "" if layers == 1 else f"of {layers} layers the one where it tells selection {counted} apart best"
    sizes = dict(best.group_by(pl.col("position_set").is_in(list(decision_sets))).len().iter_rows())
    told = best.filter(pl.col("position_set").is_in(list(decision_sets)) | (pl.col("method") == MEANS))
    return tuple(
        _estimate(row, row["position_set"] in decision_sets, sizes, {"chosen": chosen, "counted": counted}, concept)
        for row in told.iter_rows(named=True)
    )


def _estimate(
    row: Mapping[str, Any], decides: bool, sizes: Mapping[bool, int], words: Mapping[str, str], concept: Concept
) -> Estimate:
    counted, one_from_other = words["counted"], " from ".join(map(concept.those, concept.sides))
    place = {name: row[name] for name in ("layer", "language", "position_set", "method")}
    return Estimate(
        name=f"separation.{_NAMES[row['method']]}.{row['position_set']}.{row['language']}",
        quantity=f"how well the direction ({row['method']}) tells {one_from_other}",
        value=row["auroc"],
        unit="AUROC",
        n=row["test_images"],
        counted=f"test {counted}",
        source=Source("separation", place, "auroc"),
        interval=(row["low"], row["high"]),
        control=Control.of(_RANDOM, row, "random"),
        null=0.5,
        p=row["p"],
        q=row["q"],
        family=number_of(sizes[decides], "direction"),
        draws=row["draws"],
        layer=row["layer"],
        language=row["language"],
        condition=f"{row['position_set']} tokens, fitted on {row['train_images']:,} training {counted}",
        chosen=words["chosen"],
        answers=decides,
        caveats=_caveats(row, decides, concept.plural),
    )


def _caveats(row: Mapping[str, Any], decides: bool, plural: str) -> tuple[str, ...]:
    ends = f"[{row['shuffled_low']:.3f}, {row['shuffled_high']:.3f}]"
    said = f"with the {plural} dealt to the test images at random {row['shuffled']:.3f} {ends}"
    return (said if decides else f"the word itself is read there; {said}",)
