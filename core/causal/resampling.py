"""Means over images with intervals and p-values; images that are no independent observations are drawn together."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.causal.pairs import MinimalPair, context_of
from core.data.splits import tie
from core.features.inputs import AnalysisInputs
from core.stats.against_sets import against_sets
from core.stats.estimate import number_of
from core.stats.intervals import Interval, bootstrap_mean, bootstrap_ratio
from core.stats.permuted import sign_flip_p
from core.stats.two_level import Nested


@dataclass(frozen=True)
class Resampling:
    """How means over images get their intervals and p-values: the study's seed and units, and how many draws.

    `pairs` are the minimal pairs measured, by language. Images whose pairs have one context are one unit: what is done
    to the stream before the word is the same thing done once.
    `groups` are what images belong to (professions), where a statement is about those: intervals draw groups, then
    units within each, and random signs are those of groups.
    """

    inputs: AnalysisInputs
    bootstrap: int
    pairs: Mapping[str, Sequence[MinimalPair]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> str:
        """What intervals draw first: a profession; empty where they draw units alone."""
        return "profession" if self.groups else ""

    def drawn(self, images: Sequence[str], language: str | None = None) -> Int[np.ndarray, " n"] | Nested:
        """What a resample draws: units, or groups and then units within each; arguments as for `units`."""
        units = self._own_units(images, language)
        return Nested.of([self.groups[image] for image in images], units) if self.groups else units

    def units(self, images: Sequence[str], language: str | None = None) -> Int[np.ndarray, " n"]:
        """The unit of each image in a language, or where several languages are averaged (null): an image, its twin, and
        all that share a context with one of them; where there are groups, the group."""
        drawn = self.drawn(images, language)
        return drawn.groups if isinstance(drawn, Nested) else drawn

    def _own_units(self, images: Sequence[str], language: str | None) -> Int[np.ndarray, " n"]:
        units = self.inputs.units(images)
        keys: list[list[Hashable]] = [[int(unit)] for unit in units]
        place = {image: number for number, image in enumerate(images)}
        for pair in (pair for name, pairs in self.pairs.items() if language in (name, None) for pair in pairs):
            if pair.image_id in place:
                keys[place[pair.image_id]].append(context_of(pair))
        for group in tie(keys):
            units[group] = units[group].min()
        return units

    def mean(self, values: Float[np.ndarray, " n"], images: Sequence[str], language: str | None = None) -> Interval:
        """The mean with its interval over units; `images` name what each value is of."""
        return bootstrap_mean(values, self.bootstrap, self.inputs.seed, self.drawn(images, language))

    def ratio(
        self,
        part: Float[np.ndarray, " n"],
        whole: Float[np.ndarray, " n"],
        images: Sequence[str],
        language: str | None = None,
    ) -> Interval:
        """Sum of `part` over sum of `whole`, both resampled together."""
        return bootstrap_ratio(part, whole, self.bootstrap, self.inputs.seed, self.drawn(images, language))

    def against(
        self, values: Float[np.ndarray, " n"], random: pl.DataFrame, images: Sequence[str], language: str | None = None
    ) -> dict[str, float | int]:
        """Where a mean stands among random sets' on the same images, two-sided: control, control_low, control_high,
        draws, p; `draws` alone where there are none.

        `random` has draw, image_id, value, one row per draw and image.
        """
        if random.is_empty():
            return {"draws": 0}
        wide = random.pivot("draw", index="image_id", values="value", maintain_order=True)
        drawn = pl.DataFrame({"image_id": images}).join(wide, on="image_id", how="left", maintain_order="left")
        matrix, units = drawn.drop("image_id").to_numpy().T, self.units(images, language)
        found = against_sets(values, matrix, self.bootstrap, self.inputs.seed, units)
        return dict(zip(("control", "control_low", "control_high", "draws", "p"), found, strict=True))

    def beside(
        self,
        values: Float[np.ndarray, " n"],
        control: Float[np.ndarray, " n"],
        images: Sequence[str],
        language: str | None = None,
    ) -> dict[str, float | int | None]:
        """A mean beside a control measured once on the same images: images, units, effect, control, both with their
        intervals, and the two-sided p of their difference by random signs of the units; null where it is NaN."""
        own, other = (self.mean(part, images, language) for part in (values, control))
        units = self.units(images, language)
        row = {
            "effect": own.mean,
            "low": own.low,
            "high": own.high,
            "control": other.mean,
            "control_low": other.low,
            "control_high": other.high,
            "p": sign_flip_p(values - control, self.bootstrap, self.inputs.seed, units),
        }
        known = {name: None if math.isnan(value) else value for name, value in row.items()}
        return {"images": len(images), "units": np.unique(units).size, **known}


def dependence(row: Mapping[str, Any], counted: str, groups: str = "") -> tuple[str, ...]:
    """The caveat of a row of `images` and `units`, where there are fewer units; `groups` names a group, where the units
    are groups."""
    if row["units"] == row["images"]:
        return ()
    if groups:
        return (f"the interval draws {number_of(row['units'], groups)} first, then {counted} within each; so does p",)
    units = number_of(row["units"], "unit")
    return (f"the {row['images']:,} {counted} are {units} of the interval and of p: some share all before the word",)
