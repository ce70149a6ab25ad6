"""How far apart do women and men lie along one direction of the stream?

The direction is the difference of the means of training images, or a linear discriminant with shrinkage; how well it
tells held-out images apart is measured on test images, and these are placed along it and along the two leading
components of what is orthogonal to it.
"""

import numpy as np
import polars as pl

from core.analysis.direction import Config
from core.analysis.direction.findings import findings, picked
from core.analysis.direction.fitted import PROJECTIONS, SEPARATION, Draws, Place, measure, places, project
from core.analysis.result import Result
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs

_NOTE = (
    "On the first {} word the direction reads the word; only before it does the picture decide. Pictures in two "
    "and three dimensions show some test images, and nothing is claimed by eye."
)


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Fit and measure every layer asked for.

    Raises:
        BadInput: none of the layers was captured.
    """
    layers = inputs.chosen_layers(config.layers, "direction")
    labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
    draws = Draws(config.draws, config.bootstrap, inputs.seed)
    evenly = set(_evenly(layers, config.shown))
    separation, projections = [pl.DataFrame(schema=SEPARATION)], [pl.DataFrame(schema=PROJECTIONS)]
    best: dict[tuple[str, str], tuple[float, pl.DataFrame]] = {}
    for number, layer in enumerate(layers):
        for place in places(inputs.open_layer(layer), inputs, labels):
            measured = measure(place, draws)
            separation.append(measured)
            placed = project(place, inputs.concept.sides, config.images)
            if layer in evenly:
                projections.append(placed)
            _keep_best(best, place, measured, placed)
        inputs.progress(number + 1, len(layers))
    further = [placed for _, placed in best.values() if placed["layer"][0] not in evenly]
    tables = {"separation": pl.concat(separation).fill_nan(None), "projections": pl.concat([*projections, *further])}
    tables["best"] = picked(tables["separation"], inputs.concept.decision_sets)
    found = findings(tables["best"], inputs.concept, len(layers), inputs.counted)
    return Result(
        tables=tables,
        shown={"best": "The direction, at its best layer"},
        notes=(_NOTE.format(inputs.concept.adjective),),
        estimates=found,
    )


def _evenly(layers: tuple[int, ...], count: int) -> list[int]:
    chosen = np.linspace(0, len(layers) - 1, min(count, len(layers))).round().astype(int)
    return [layers[number] for number in chosen]


def _keep_best(
    best: dict[tuple[str, str], tuple[float, pl.DataFrame]], place: Place, measured: pl.DataFrame, placed: pl.DataFrame
) -> None:
    """Keep the pictures of the layer that is reported."""
    key = (place.language, place.position_set)
    area = float(measured.filter(method="difference of means")["auroc_select"][0])
    if np.isfinite(area) and (key not in best or area > best[key][0]):
        best[key] = (area, placed)
