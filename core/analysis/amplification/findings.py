"""The amplification's estimates: the slope at dose 0 by language at one layer, and the rate at the chosen dose."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.analysis.amplification.further_findings import Place, further_estimates
from core.causal.resampling import dependence
from core.causal.steering import DIFFERENCE, FEATURES
from core.data.concept import Concept
from core.features.significance import called
from core.stats.estimate import Control, Estimate, number_of
from core.stats.picking import of_layers, picked_layer

RANDOM = "random feature sets of the same length and random signs"
NO_MATCH = "too few features are not associated with the concept, so that there is no control"


def estimates(tables: Mapping[str, pl.DataFrame], concept: Concept, counted: str) -> tuple[Estimate, ...]:
    """What was found at the layer that the selection split picks."""
    features = tables["features"]
    layer, layers = picked_layer(features), features["layer"].n_unique()
    slopes = tables["slopes"].filter(layer=layer)
    place = _Place(
        layer=layer,
        chosen=of_layers(layers, concept.name),
        features=called(features.filter(layer=layer), concept),
        concept=concept,
        counted=f"test {counted}",
        family=f"{number_of(layers, 'layer')} × {number_of(slopes['language'].n_unique(), 'language')}",
    )
    found = [place.slope(row) for row in slopes.filter(vector=FEATURES).rows(named=True)]
    for row in tables["rates"].rows(named=True):
        found += place.rate(row, tables["rates"].height)
    found += [place.difference(row) for row in slopes.filter(vector=DIFFERENCE).rows(named=True)]
    return (*found, *further_estimates(tables, place))


@dataclass(frozen=True)
class _Place(Place):
    """What all estimates of one layer share, and the family of its slopes."""

    family: str

    def slope(self, row: Mapping[str, Any]) -> Estimate:
        return Estimate(
            name=f"slope.{row['language']}",
            quantity=f"slope at dose 0 of log p({self.side} word) − log p(the other side's word) at the {self.word}",
            value=row["slope"],
            interval=(row["low"], row["high"]),
            control=Control.of(RANDOM, row),
            p=row["p"],
            q=row["q"],
            family=self.family,
            draws=row["draws"] or 0,
            answers=True,
            condition=f"{self.features}, added at every position",
            caveats=(*(() if row["draws"] else (NO_MATCH,)), *dependence(row, self.counted)),
            **self._of(row, "slopes", "slope", "nats per dose"),
        )

    def difference(self, row: Mapping[str, Any]) -> Estimate:
        """The comparator, of which nothing is claimed."""
        return Estimate(
            name=f"difference_slope.{row['language']}",
            quantity=f"slope at dose 0 of log p({self.side} word) − log p(the other side's word) at the {self.word}",
            value=row["slope"],
            interval=(row["low"], row["high"]),
            described=True,
            condition="the difference of the two sides' mean streams, of the features' length, added at every position",
            **self._of(row, "slopes", "slope", "nats per dose"),
        )

    def rate(self, row: Mapping[str, Any], languages: int) -> Iterator[Estimate]:
        dose = f"{self.features}, added at dose {row['dose']:g}, the best in range on the selection split"
        yield Estimate(
            name=f"rate_change.{row['language']}",
            quantity=f"change of the share of {self.counted} whose likelier word is {self.side}",
            value=row["change"],
            interval=(row["low"], row["high"]),
            control=Control.of(RANDOM, row),
            p=row["p"],
            q=row["q"],
            family=number_of(languages, "language"),
            draws=row["draws"] or 0,
            condition=dose,
            caveats=(*(() if row["draws"] else (NO_MATCH,)), *dependence(row, self.counted)),
            **self._of(row, "rates", "change", "points"),
        )
        if math.isfinite(row["cost"]):
            yield Estimate(
                name=f"cost.{row['language']}",
                quantity="change of the cross-entropy at the caption's words that tell no side",
                value=row["cost"],
                interval=(row["cost_low"], row["cost_high"]),
                described=True,
                condition=dose,
                **self._of(row, "rates", "cost", "nats per token"),
            )

    def _of(self, row: Mapping[str, Any], table: str, column: str, unit: str) -> dict[str, Any]:
        """Where a number stands, and what it is about."""
        keys = tuple(name for name in ("layer", "language", "vector") if name in row)
        return {"unit": unit, **self.of(row, table, column, keys)}
