"""Small questions that analyses ask of their inputs."""

from typing import Literal

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
