"""How much of a language's decision shared features carry, and features of one language alone: feature-only swaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.analysis.causal_map.measures import MapRuns
from core.causal.controls import RandomSets
from core.causal.steering import difference_of_means
from core.causal.swaps import SwapSite
from core.features.layer_view import LayerView

WHOLE, DICTIONARY, ERROR, DIRECTION = "whole rows", "all features", "SAE error", "difference of means"
SAE, FROZEN = "SAE", "frozen"
SWAPS = pl.Schema(
    {
        "language": pl.String,
        "dictionary": pl.String,
        "swapped": pl.String,
        "draw": pl.Int64,
        "image_id": pl.String,
        "effect": pl.Float64,
        "rest": pl.Float64,
    }
)
"""One row what is swapped and caption: `effect` of swapping it, and of swapping everything but it (`rest`; NaN where it
was not measured). `draw` is −1, or the number of a random set in the place of the class."""


@dataclass(frozen=True)
class Classes:
    """A layer's features by class, each with random sets in its place; `view` has the dictionary that they are of."""

    view: LayerView
    dictionary: str
    members: Mapping[str, tuple[int, ...]]
    controls: Mapping[str, RandomSets]


def swap(runs: MapRuns, classes: Classes) -> pl.DataFrame:
    """The rows of `SWAPS` of one language."""
    layer, view = classes.view.layer, classes.view
    given = zip(runs.runs.sites(view), runs.twins.after(layer), strict=True)
    swapper = _Swapper(runs, classes, [SwapSite.of(view, own, donor) for own, donor in given])
    return pl.concat([*_of_classes(swapper), *(swapper.frame(name, parts) for name, parts in swapper.wholes())])


def swap_classes(runs: MapRuns, classes: Classes) -> pl.DataFrame:
    """The rows of `swap` that are of classes, and of the random sets in their place."""
    given = zip(runs.runs.sites(classes.view), runs.twins.after(classes.view.layer), strict=True)
    sites = [SwapSite.of(classes.view, own, donor) for own, donor in given]
    return pl.concat([SWAPS.to_frame(), *_of_classes(_Swapper(runs, classes, sites))])


def _of_classes(swapper: "_Swapper") -> list[pl.DataFrame]:
    frames = [swapper.frame(name, parts, rest=True) for name, parts in swapper.classes()]
    frames += [
        swapper.frame(name, [site.features(drawn) for site in swapper.sites], draw=number)
        for name, control in swapper.of.controls.items()
        for number, drawn in enumerate(control.draws)
    ]
    return frames


@dataclass(frozen=True)
class _Swapper:
    runs: MapRuns
    of: Classes
    sites: Sequence[SwapSite]

    def classes(self) -> list[tuple[str, list[Float[Tensor, "R D"]]]]:
        members = {name: features for name, features in self.of.members.items() if features}
        return [(name, [site.features(features) for site in self.sites]) for name, features in members.items()]

    def wholes(self) -> list[tuple[str, list[Float[Tensor, "R D"]]]]:
        rows, read = [site.whole() for site in self.sites], [site.dictionary() for site in self.sites]
        found = [(DICTIONARY, read), (ERROR, [whole - part for whole, part in zip(rows, read, strict=True)])]
        if self.of.dictionary != SAE:  # the rest knows no dictionary
            return found
        direction = difference_of_means(self.of.view)
        if direction is not None and float(direction.norm()) > 0:
            unit = direction / direction.norm()
            found.append((DIRECTION, [site.along(unit) for site in self.sites]))
        return [*found, (WHOLE, rows)]

    def frame(
        self, name: str, parts: Sequence[Float[Tensor, "R D"]], *, rest: bool = False, draw: int = -1
    ) -> pl.DataFrame:
        pairs = self.runs.asked.pairs
        others = [site.whole() - part for site, part in zip(self.sites, parts, strict=True)] if rest else None
        columns = {
            "language": [self.runs.asked.language] * len(pairs),
            "dictionary": [self.of.dictionary] * len(pairs),
            "swapped": [name] * len(pairs),
            "draw": [draw] * len(pairs),
            "image_id": [pair.image_id for pair in pairs],
            "effect": self._effect(parts),
            "rest": self._effect(others) if others is not None else np.full(len(pairs), np.nan),
        }
        return pl.DataFrame(columns, schema=SWAPS)

    def _effect(self, parts: Sequence[Float[Tensor, "R D"]]) -> Float[np.ndarray, " N"]:
        layer = self.of.view.layer
        streams = [site.own.added(part) for site, part in zip(self.sites, parts, strict=True)]
        return np.asarray(self.runs.signs * (self.runs.runs.log_odds(layer, streams) - self.runs.clean(layer)))
