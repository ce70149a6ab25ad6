"""Estimates of the parts that a study asks for: other vectors, generated captions, the mid-dose, prompting."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.analysis.amplification.caption_measures import measures_of, unit_of
from core.analysis.amplification.prompting import DIFFERENCE, PROMPTING
from core.causal.resampling import dependence
from core.causal.steering import FEATURES
from core.data.concept import Concept
from core.stats.estimate import Control, Estimate, Source, number_of

COVARIANCE = "directions of the same length drawn from the stream's covariance"
RANDOM_CAPTIONS = "random vectors of the same length (feature sets, isotropic, from the covariance)"
HELD_FIXED = "p and interval hold the {} random vectors fixed"
_SCORES = {
    "rate": ("share of {} whose likelier word is {}", "points"),
    "said": ("share of generated captions that speak of {1}{2} alone", "points"),
    "cost": (
        "cross-entropy of the generated captions' words that tell no {3}, under the clean model",
        "nats per token",
    ),
}


@dataclass(frozen=True)
class Place:
    """What all estimates share: layer and how it was picked, features in words, the concept, and what is counted."""

    layer: int
    chosen: str
    features: str
    concept: Concept
    counted: str

    @property
    def side(self) -> str:
        """The concept's first side."""
        return self.concept.sides[0]

    @property
    def word(self) -> str:
        """A word of the concept."""
        return f"{self.concept.adjective} word"

    @property
    def told(self) -> tuple[str, ...]:
        """Measures of captions that are told; the others stand in the table."""
        return ("ce_other", self.concept.adjective, self.side, "distinct_2", "repetition")

    def of(self, row: Mapping[str, Any], table: str, column: str, keys: tuple[str, ...]) -> dict[str, Any]:
        """Where a number stands, and what it is about."""
        return {
            "source": Source(table, {name: row[name] for name in keys}, column),
            "n": row["images"],
            "counted": self.counted,
            "layer": self.layer,
            "language": row["language"],
            "chosen": self.chosen,
        }


def further_estimates(tables: Mapping[str, pl.DataFrame], place: Place) -> Iterator[Estimate]:
    """Of the tables that there are."""
    if "vector_slopes" in tables:
        yield from _slopes(tables["vector_slopes"], place)
    if "fluency" in tables:
        yield from _captions(tables["fluency"], tables["rates"], place)
    if "mid_dose" in tables:
        yield from _mid_doses(tables["mid_dose"], place)
    if "prompting" in tables:
        yield from _prompting(tables["prompting"], place)


def _slopes(slopes: pl.DataFrame, place: Place) -> Iterator[Estimate]:
    """Every vector against directions drawn from the covariance; its p is the larger of those against both kinds."""
    vectors = slopes["vector"].unique(maintain_order=True).to_list()
    family = f"{number_of(len(vectors), 'vector')} × {number_of(slopes['language'].n_unique(), 'language')}"
    singles = [name for name in vectors if name.startswith("feature ")]
    for row in slopes.rows(named=True):
        vector = row["vector"]
        name = f"feature_{singles.index(vector) + 1}" if vector in singles else vector.lower().replace(" ", "_")
        what = place.features if vector == FEATURES else f"{vector}, of the features' length"
        yield Estimate(
            name=f"vector_slope.{name}.{row['language']}",
            quantity=f"slope at dose 0 of log p({place.side} word) − log p(the other side's word) at the {place.word}",
            value=row["slope"],
            interval=(row["low"], row["high"]),
            control=Control.of(COVARIANCE, row, column="covariance"),
            p=row["p"],
            q=row["q"],
            family=family,
            draws=row["draws"] or 0,
            unit="nats per dose",
            condition=f"{what}, added at every position",
            caveats=dependence(row, place.counted),
            **place.of(row, "vector_slopes", "slope", ("layer", "language", "vector")),
        )


def _captions(fluency: pl.DataFrame, rates: pl.DataFrame, place: Place) -> Iterator[Estimate]:
    """What generated captions are like at the dose that the selection split chose."""
    tested = fluency.filter(pl.col("p").is_not_null())
    family = f"{number_of(tested['dose'].n_unique(), 'dose')} × {number_of(tested['language'].n_unique(), 'language')}"
    doses, measures = dict(rates.select("language", "dose").iter_rows()), measures_of(place.concept)
    for row in fluency.filter(pl.col("measure").is_in(place.told)).rows(named=True):
        if row["dose"] != doses.get(row["language"]) or row["change"] is None:
            continue
        yield Estimate(
            name=f"written_{row['measure']}.{row['language']}",
            quantity=f"change of the {measures[row['measure']]}",
            value=row["change"],
            interval=(row["change_low"], row["change_high"]),
            control=Control.of(RANDOM_CAPTIONS, row),
            p=row["p"],
            q=row["q"],
            family=family,
            unit=unit_of(row["measure"], place.concept),
            condition=f"{place.features}, added at dose {row['dose']:g} while the caption is generated",
            caveats=(HELD_FIXED.format(row["draws"]),) if row["draws"] else (),
            **place.of(row, "fluency", "change", ("layer", "language", "measure", "dose")),
        )


def _mid_doses(found: pl.DataFrame, place: Place) -> Iterator[Estimate]:
    for row in found.filter(pl.col("vector") == FEATURES, pl.col("reason") == "").rows(named=True):
        yield Estimate(
            name=f"mid_dose.{row['language']}",
            quantity=f"dose half-way up a logistic curve of the share of {place.counted} whose likelier word is "
            f"{place.side}",
            value=row["mid_dose"],
            interval=(row["low"], row["high"]),
            unit="doses",
            described=True,
            condition=f"{place.features}, added at every position, doses in range",
            **place.of(row, "mid_dose", "mid_dose", ("layer", "language", "vector")),
        )


def _prompting(found: pl.DataFrame, place: Place) -> Iterator[Estimate]:
    """What the instruction does, and what steering does beyond it; a comparison of two measurements, described."""
    for row in found.filter(pl.col("method").is_in([PROMPTING, DIFFERENCE])).rows(named=True):
        less = row["method"] == DIFFERENCE
        for score, (quantity, unit) in _SCORES.items():
            if row[score] is None:
                continue
            told = quantity.format(place.counted, place.side, place.concept.bearers, place.concept.name)
            tested = {"p": row[f"{score}_p"], "q": row[f"{score}_q"], "family": "languages and scores"} if less else {}
            yield Estimate(
                name=f"{'steering_less_prompting' if less else 'prompting'}_{score}.{row['language']}",
                quantity=f"change of the {told}, steered less prompted" if less else f"change of the {told}",
                value=row[score],
                interval=(row[f"{score}_low"], row[f"{score}_high"]),
                unit=unit,
                described=True,
                condition=f"{place.features} at {row['how']}" if less else f"instruction “{row['how']}”, no vector",
                **tested,
                **place.of(row, "prompting", score, ("layer", "language", "method")),
            )
