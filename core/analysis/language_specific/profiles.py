"""Each feature's profile over the languages: rates, means, selectivity with its interval, and its class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import special

from core.analysis.language_specific import Config
from core.features.caption_rows import PairedCaptions
from core.stats.intervals import weights

BOOTSTRAP = 1000
SHARED, BETWEEN = "shared", "between"
_BLOCK = 1024


@dataclass(frozen=True)
class Split:
    """The images of a split, and whether the captions of each are swapped in each run (−1) or not (1).

    `counts` is how often each image stands in each resample. An image and its twin are drawn together.
    """

    images: list[str]
    signs: Int[np.ndarray, "swaps N"]
    counts: Int[np.ndarray, "draws N"]

    @classmethod
    def of(cls, images: list[str], units: Int[np.ndarray, " N"], swaps: int, seed: int) -> "Split":
        """Draw for images of these units."""
        _, codes = np.unique(units, return_inverse=True)
        flips = np.random.default_rng(seed).integers(0, 2, (swaps, int(codes.max()) + 1)) * 2 - 1
        return cls(images, flips[:, codes], weights(codes.size, BOOTSTRAP, seed, codes))


@dataclass(frozen=True)
class Design:
    """Images by which features are classed, and on which they are measured; the languages and the classes' bounds."""

    select: Split
    test: Split
    languages: Sequence[str]
    config: Config


@dataclass(frozen=True)
class Means:
    """Mean selectivity on test images of the features of each language: in the data, by resample, by run with swaps."""

    observed: Float[np.ndarray, " 2"]
    resampled: Float[np.ndarray, "draws 2"]
    swapped: Float[np.ndarray, "swaps 2"]


@dataclass(frozen=True)
class Profiles:
    """A layer's live features over the languages.

    `table` is one row per feature. `swapped` is how many features are of each class (`classes_of`) on the selection
    split, in each run with captions swapped.
    """

    table: pl.DataFrame
    swapped: Int[np.ndarray, "swaps C"]
    means: Means


def classes_of(languages: Sequence[str]) -> tuple[str, str, str, str]:
    """The classes: specific to either language, shared, and between these."""
    first, second = languages
    return first, second, SHARED, BETWEEN


def profile_layer(every: PairedCaptions, design: Design) -> Profiles:
    """Class the features that fire on enough of all images by the selection split; measure them on the test split."""
    chosen, own = every.of(design.select.images), every.of(design.test.images)
    live = np.flatnonzero(every.supported & _fires(chosen) & _fires(own))
    blocks = [live[start : start + _BLOCK] for start in range(0, max(live.size, 1), _BLOCK)]
    parts = []
    for block in blocks:
        classed, swapped = _classed(_Rates.of(chosen, block), design)
        parts.append((swapped, *_measured(own, block, classed, design)))
    return Profiles(
        pl.concat([table for _, table, _ in parts]),
        np.sum([swapped for swapped, *_ in parts], axis=0),
        _averaged([sums for *_, sums in parts]),
    )


@dataclass(frozen=True)
class _Rates:
    """Shares of caption rows on which some features fire, image by image, in both languages."""

    first: Float[np.ndarray, "N B"]
    second: Float[np.ndarray, "N B"]

    @classmethod
    def of(cls, captions: PairedCaptions, features: Int[np.ndarray, " B"]) -> "_Rates":
        first, second = (side.rates[:, features].toarray() for side in (captions.first, captions.second))
        return cls(first, second)

    def selectivity(self, weighted: Float[np.ndarray, "*draws N"]) -> Float[np.ndarray, "*draws B"]:
        """(first − second) / (first + second) of the images' weighted sums; NaN where a feature is silent."""
        return _ratio(weighted @ (self.first - self.second), weighted @ (self.first + self.second))

    def swapped(self, signs: Int[np.ndarray, "swaps N"]) -> Float[np.ndarray, "swaps B"]:
        """The same with the captions of images swapped."""
        return _ratio(signs @ (self.first - self.second), (self.first + self.second).sum(axis=0))


def _classed(rates: _Rates, design: Design) -> tuple[Int[np.ndarray, " B"], Int[np.ndarray, "swaps C"]]:
    """Each feature's class, and how many are of each where captions are swapped."""
    select, config = design.select, design.config
    value = rates.selectivity(np.ones(len(select.images)))
    swapped = _class(rates.swapped(select.signs), config)
    return _class(value, config), np.stack([(swapped == kind).sum(axis=-1) for kind in range(4)], axis=-1)


_Sums = tuple[list[np.ndarray], list[np.ndarray]]
"""Sums of selectivity over features of either language, and how many: observed, resampled, swapped."""


def _measured(
    own: PairedCaptions, features: Int[np.ndarray, " B"], classed: Int[np.ndarray, " B"], design: Design
) -> tuple[pl.DataFrame, _Sums]:
    test, languages, config = design.test, design.languages, design.config
    rates = _Rates.of(own, features)
    value, resampled = rates.selectivity(np.ones(len(test.images))), rates.selectivity(test.counts)
    swapped = rates.swapped(test.signs)
    ends = np.nanquantile(resampled, [0.025, 0.975], axis=0) if features.size else np.zeros((2, 0))
    exceeding = (np.abs(swapped) >= np.abs(value) - 1e-9).sum(axis=0)
    shares = np.stack([rates.first.mean(axis=0), rates.second.mean(axis=0)])
    means = [np.asarray(side.means[:, features].mean(axis=0)).ravel() for side in (own.first, own.second)]
    columns = {
        "feature": features,
        **{f"rate_{language}": share for language, share in zip(languages, shares, strict=True)},
        **{f"mean_{language}": mean for language, mean in zip(languages, means, strict=True)},
        "selectivity": value,
        "low": ends[0],
        "high": ends[1],
        "lape": lape(shares),
        "monolinguality": means[0] - means[1],
        "class": np.array(classes_of(languages))[classed],
        "holds": (_class(ends, config) == classed).all(axis=0),
        "images": ((rates.first + rates.second) > 0).sum(axis=0),
        "p": (1 + exceeding) / (1 + len(test.signs)),
    }
    found = [[array[..., classed == kind] for kind in (0, 1)] for array in (value, resampled, swapped)]
    sums = [np.stack([np.nansum(part, axis=-1) for part in parts], axis=-1) for parts in found]
    known = [np.stack([np.isfinite(part).sum(axis=-1) for part in parts], axis=-1) for parts in found]
    return pl.DataFrame(columns).cast(schema(languages)), (sums, known)


def _averaged(parts: Sequence[_Sums]) -> Means:
    sums, known = ([np.sum(arrays, axis=0) for arrays in zip(*part, strict=True)] for part in zip(*parts, strict=True))
    return Means(*(_ratio(part, whole) for part, whole in zip(sums, known, strict=True)))


def schema(languages: Sequence[str]) -> pl.Schema:
    """Columns of `Profiles.table`."""
    rates = [f"{what}_{language}" for what in ("rate", "mean") for language in languages]
    numbers = (*rates, "selectivity", "low", "high", "lape", "monolinguality")
    ends = {"class": pl.String, "holds": pl.Boolean, "images": pl.UInt32, "p": pl.Float64}
    return pl.Schema({"feature": pl.UInt32, **dict.fromkeys(numbers, pl.Float64), **ends})


def lape(rates: Float[np.ndarray, "languages F"]) -> Float[np.ndarray, " F"]:
    """Language activation probability entropy −Σ_k p_k ln p_k in nats, p_k = rate_k / Σ rate (Tang et al. 2024)."""
    return np.asarray(special.entr(_ratio(rates, rates.sum(axis=0))).sum(axis=0))


def _class(selectivity: Float[np.ndarray, "*draws F"], config: Config) -> Int[np.ndarray, "*draws F"]:
    """The place of each feature's class in `classes_of`."""
    size = np.abs(selectivity)
    specific = np.where(selectivity > 0, 0, 1)
    return np.where(size >= config.specific, specific, np.where(size <= config.shared, 2, 3))


def _ratio(part: Float[np.ndarray, "*draws F"], whole: Float[np.ndarray, "*draws F"]) -> Float[np.ndarray, "*draws F"]:
    """part / whole, NaN where there is no whole."""
    known = np.broadcast_to(whole > 0, part.shape)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, math.nan), where=known))


def _fires(captions: PairedCaptions) -> Bool[np.ndarray, " F"]:
    return np.asarray((captions.first.fired + captions.second.fired).sum(axis=0)).ravel() > 0
