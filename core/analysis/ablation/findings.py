"""The ablation's estimates: the shift by language at one layer, its share of the ceiling, and what other words pay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from core.analysis.ablation.captions import CHANGED
from core.analysis.ablation.measures import ZERO
from core.analysis.ablation.summary import ALL
from core.causal.resampling import dependence
from core.data.concept import Concept, side_noun
from core.features.significance import called
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.picking import of_layers, picked_layer

NO_MATCH = "too few feature sets lie within a factor of 2 of the chosen one (the caliper), so that there is no control"
_ZEROED = ", set to zero at every position"
MATCHED = "random feature sets matched on firing rate, mean squared contribution and added norm"


def estimates(
    tables: Mapping[str, pl.DataFrame], concept: Concept, counted: str, over: str = ""
) -> tuple[Estimate, ...]:
    """What was found at the layer that the selection split picks, languages before what is pooled over them; `over` as
    in `Resampling`."""
    layer = picked_layer(tables["features"])
    layers = tables["features"]["layer"].n_unique()
    own = tables["features"].filter(layer=layer)
    place = _Place(
        concept=concept,
        layer=layer,
        chosen=of_layers(layers, concept.name),
        condition=f"{called(own, concept)}{_ZEROED}",
        counted=f"test {counted}",
        languages=tables["effects"].filter(pl.col("language") != ALL)["language"].n_unique(),
        layers=layers,
        over=over,
    )
    shifts = tables["effects"].filter(layer=layer, outcome=concept.positions.first, intervention=ZERO)
    found = [place.shift(row) for row in shifts.rows(named=True)]
    found += [one for row in shifts.rows(named=True) for one in place.share(row)]
    costs = tables["specificity"].filter(pl.col("layer") == layer, pl.col("kl").is_finite())
    found += [place.cost(row) for row in costs.rows(named=True)]
    summed = tables["lexicon"].filter(layer=layer) if "lexicon" in tables else pl.DataFrame()
    found += [place.summed(row) for row in summed.rows(named=True)]
    equal = tables["at_control_kl"].filter(layer=layer) if "at_control_kl" in tables else pl.DataFrame()
    found += [place.at_control(row) for row in equal.rows(named=True)]
    written = tables["captions"] if "captions" in tables else pl.DataFrame()
    tested = written.with_columns(pl.len().over("measure").alias("tested")) if written.height else written
    return (*found, *(place.written(row) for row in tested.rows(named=True)))


@dataclass(frozen=True)
class _Place:
    """What all estimates of one layer share."""

    concept: Concept
    layer: int
    chosen: str
    condition: str
    counted: str
    languages: int
    layers: int
    over: str

    def shift(self, row: Mapping[str, Any]) -> Estimate:
        pooled = row["language"] == ALL
        tested = number_of(self.layers, "layer") + ("" if pooled else f" × {number_of(self.languages, 'language')}")
        return Estimate(
            name=f"shift.{row['language']}",
            quantity=f"shift of the first {self.concept.adjective} word toward the other {side_noun(self.concept)}",
            value=row["effect"],
            unit="nats",
            interval=(row["low"], row["high"]),
            control=Control.of(MATCHED, row),
            p=row["p"],
            q=row["q"],
            family=tested,
            draws=row["draws"] or 0,
            answers=not pooled,
            caveats=(*(() if row["draws"] else (NO_MATCH,)), *dependence(row, self.counted, self.over)),
            **self._of(row, "effects", "effect"),
        )

    def summed(self, row: Mapping[str, Any]) -> Estimate:
        """The shift over all the concept's words of the language, a secondary outcome with a family of its own."""
        shift = self.shift(row)
        return replace(
            shift,
            name=f"lexicon.{row['language']}",
            quantity=f"shift of the summed probability of all {self.concept.adjective} words toward the other "
            f"{side_noun(self.concept)}",
            answers=False,
            source=Source("lexicon", {"layer": row["layer"], "language": row["language"]}, "effect"),
        )

    def share(self, row: Mapping[str, Any]) -> Iterator[Estimate]:
        """The share of the ceiling; none where there is no ceiling, or where the effect is no part of it."""
        if row["share"] is None or not 0 <= row["share"] <= 1:
            return
        yield Estimate(
            name=f"share.{row['language']}",
            quantity="share of what the twin's stream in place of the image's own shifts the word by",
            value=row["share"],
            unit="share",
            interval=(row["share_low"], row["share_high"]),
            described=True,
            **self._of(row, "effects", "share"),
        )

    def cost(self, row: Mapping[str, Any]) -> Estimate:
        return Estimate(
            name=f"kl.{row['language']}",
            quantity=f"KL divergence at the caption's words that tell no {self.concept.name}",
            value=row["kl"],
            unit="nats per token",
            interval=(row["low"], row["high"]),
            control=Control.of(MATCHED, row),
            described=True,
            **self._of(row, "specificity", "kl"),
        )

    def written(self, row: Mapping[str, Any]) -> Estimate:
        """Captions written under the ablation: how many change sides, or what their other words lose."""
        of_rate = row["measure"] == CHANGED
        quantity = f"cross-entropy of the {self.concept.others} of captions, less that of captions written cleanly"
        resolution = f"{row['draws']} random sets, with which no p is below 1/{row['draws'] + 1}"
        return Estimate(
            name=f"{'changed' if of_rate else 'quality'}.{row['language']}",
            quantity=f"rate of written captions that change {self.concept.name}" if of_rate else quantity,
            value=row["effect"],
            unit="share" if of_rate else "nats per token",
            interval=(row["low"], row["high"]),
            control=Control.of(MATCHED, row),
            p=row["p"],
            q=row["q"],
            family=number_of(row["tested"], "language"),
            draws=row["draws"] or 0,
            caveats=(resolution if row["draws"] else NO_MATCH,),
            **self._of(row, "captions", "effect"),
        )

    def at_control(self, row: Mapping[str, Any]) -> Estimate:
        """The shift where the features disturb other words as the random sets do, or less at the largest dose."""
        where = "where other words are disturbed as by the random sets"
        if not row["reached"]:
            where = f"at the largest dose, {row['dose']:g} times, which disturbs other words less than the random sets"
        estimate = Estimate(
            name=f"at_control_kl.{row['language']}",
            quantity=f"shift of the first {self.concept.adjective} word toward the other {side_noun(self.concept)}",
            value=row["effect"],
            unit="nats",
            interval=(row["low"], row["high"]),
            control=Control.of(MATCHED, row),
            described=True,
            **self._of(row, "at_control_kl", "effect"),
        )
        return replace(estimate, condition=f"{self.condition.removesuffix(_ZEROED)} taken out by dose, {where}")

    def _of(self, row: Mapping[str, Any], table: str, column: str) -> dict[str, Any]:
        """Where a number stands, and what it is about."""
        names = ("layer", "language", "outcome", "intervention", "measure")
        return {
            "source": Source(table, {name: row[name] for name in names if name in row}, column),
            "n": row["images"],
            "counted": self.counted,
            "layer": self.layer,
            "language": None if row["language"] == ALL else row["language"],
            "condition": self.condition,
            "chosen": self.chosen,
        }
