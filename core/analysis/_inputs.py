"""Small questions that analyses ask of their inputs."""

from typing import Literal

import polars as pl

from core.analysis.result import AnalysisInputs
from core.errors import BadInput


def chosen_layers(inputs: AnalysisInputs, layers: Literal["all"] | tuple[int, ...], analysis: str) -> tuple[int, ...]:
    """The captured layers that an analysis asks for, in order.

    Raises:
        BadInput: none of the layers asked for was captured.
    """
    if layers == "all":
        return inputs.layers
    chosen = tuple(layer for layer in layers if layer in inputs.layers)
    if not chosen:
        raise BadInput(f"analyses.{analysis}.layers: none of {list(layers)} is in capture.layers {list(inputs.layers)}")
    return chosen


def attribute_columns(inputs: AnalysisInputs, most_values: int = 50) -> list[str]:
    """Columns of `samples` that sort images into at most `most_values` kinds, by name."""
    reserved = {"sample_id", "image_id", "image", "caption_en", "caption_ar", "split", "twin_id", "pair_id"}
    names = []
    for name, kind in inputs.samples.schema.items():
        if name in reserved or kind.is_nested() or kind.is_float():
            continue
        if 2 <= inputs.samples[name].drop_nulls().n_unique() <= most_values:
            names.append(name)
    return sorted(names)


def picked_layer(features: pl.DataFrame) -> int:
    """The layer that headlines speak of: where the chosen features go most with gender on the selection split.

    Picking the layer of the largest effect on the very images that give its interval would flatter the effect.
    `features` has columns layer and association; the lower layer wins a tie.
    """
    return int(features.sort("association", "layer", descending=[True, False], nulls_last=True)["layer"][0])


def of_layers(count: int) -> str:
    """Say how a headline's layer was picked among `count`."""
    return "" if count == 1 else f"(of {count}, the layer whose features go most with gender on the selection split)"
