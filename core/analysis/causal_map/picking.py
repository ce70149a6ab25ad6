"""Which layer of the map is reported, and what the sentences say of how it was picked."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from core.analysis.causal_map import Config
from core.features.associated_languages import strength_of
from core.features.inputs import AnalysisInputs


class Picked(NamedTuple):
    """The layer that is reported, and how it was picked; empty where it was the only one."""

    layer: int
    how: str


def middle_layer(layers: Sequence[int], why: str) -> Picked:
    """The middle layer, where nothing tells layers apart."""
    return Picked(layers[len(layers) // 2], _among(layers, f"the middle one, as {why}"))


def strongest_layer(
    classes: pl.DataFrame, layers: Sequence[int], inputs: AnalysisInputs, config: Config
) -> Picked | None:
    """The layer of the largest mean strength of the classes' strongest features; null where no class has a feature."""
    strength = {layer: strength_of(classes, layer, inputs.languages, config.features) for layer in layers}
    layer = max(layers, key=strength.__getitem__)  # the lower one of equals
    how = f"the one whose classes' {config.features} strongest features have the largest mean |AUROC − ½| for "
    how += f"{inputs.concept.name} on the selection split"
    return Picked(layer, _among(layers, how)) if strength[layer] else None


def _among(layers: Sequence[int], how: str) -> str:
    return f"of {len(layers)} layers {how}" if len(layers) > 1 else ""
