"""Dose and response: what happens to the gendered word when gender directions are turned up or down.

x ← x + s · Σ_f ±q_f · d_f at every image, prompt and caption position, q_f being the feature's 99.5th percentile when
active and the sign the gender that it speaks for, so that positive doses push toward female. Response: log p(whole
w_f) − log p(whole w_m) given one prefix. Comparators of the same length: difference of means, random feature sets.
"""

from collections.abc import Sequence

import polars as pl

from core.analysis.amplification import Config
from core.analysis.amplification.dose_response import (
    RESPONSE,
    SLOPES,
    headlines,
    metrics,
    near_zero,
    summarise_responses,
    summarise_slopes,
)
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.pairs import choose_samples, find_pairs, shared_contexts
from core.causal.steering import Directions, SteeringRuns, directions
from core.features.inputs import AnalysisInputs
from core.lm.outcomes import word_ends


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Steer each layer with its gender features, one layer at a time, and compare with random features."""
    runs, notes = _open_runs(inputs, config)
    layers = inputs.chosen_layers(config.layers, "amplification")
    responses, slopes, features, images = [], [], [], []
    for number, layer in enumerate(layers if runs else ()):
        opened = inputs.open_layer(layer)
        chosen = opened.ranking.strongest()[: config.features]
        if not chosen:
            notes.append(f"layer {layer}: no feature passes the support filter on the selection split; not steered.")
            continue
        control = matched_controls(opened, chosen, config.draws, inputs.seed)
        steer = directions(opened, chosen, control, inputs.seed)
        found = pl.concat([part.respond(opened, steer, config.doses) for part in runs])
        random = pl.concat([part.random_slopes(opened, steer, near_zero(config.doses)) for part in runs])
        responses.append(summarise_responses(layer, found, config.bootstrap, inputs.seed))
        slopes.append(summarise_slopes(layer, found, random, config.bootstrap, inputs.seed))
        features.append(_describe(layer, chosen, steer, opened.ranking.association(chosen)))
        images.append(found.with_columns(pl.lit(layer, pl.UInt16).alias("layer")))
        inputs.progress(number + 1, len(layers))
    if not responses:
        empty = {"response": RESPONSE.to_frame(), "slopes": SLOPES.to_frame()}
        return Result((), {}, empty, notes=(*notes, "No response was measured."))
    tables = {
        "response": pl.concat(responses),
        "slopes": pl.concat(slopes),
        "features": pl.concat(features),
        "images": pl.concat(images),
    }
    shown = {"slopes": "Slope at dose 0", "response": "Dose and response"}
    return Result(headlines(tables), metrics(tables["slopes"]), tables, shown, tuple(notes))


def _open_runs(inputs: AnalysisInputs, config: Config) -> tuple[list[SteeringRuns], list[str]]:
    loaded = inputs.open_model()
    ends = word_ends(loaded)
    rows = choose_samples(inputs, config.images).rows
    runs, notes = [], []
    for language in inputs.languages:
        pairs, reasons = find_pairs(inputs, loaded, rows, language)
        notes += [f"{count} test images left out: {reason}." for reason, count in sorted(reasons.items())]
        if pairs:
            notes += shared_contexts(pairs, language)
            runs.append(SteeringRuns(loaded, language, pairs, ends))
    return runs, notes


def _describe(layer: int, chosen: Sequence[int], steer: Directions, association: float) -> pl.DataFrame:
    columns = {
        "layer": pl.Series([layer] * len(chosen), dtype=pl.UInt16),
        "feature": pl.Series(chosen, dtype=pl.UInt32),
        "toward": ["female" if sign > 0 else "male" for sign in steer.signs],
        "quantile_99_5": pl.Series(steer.quantiles, dtype=pl.Float64),
        "association": [association] * len(chosen),
    }
    return pl.DataFrame(columns)
