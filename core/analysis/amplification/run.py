"""Dose and response: what happens to the concept's word when its directions are turned up or down.

x ← x + s · Σ_f ±q_f · d_f at every image, prompt and caption position, q_f being the feature's 99.5th percentile when
active and the sign the side that it speaks for, so that positive doses push toward the first. Response: log p(whole
word of the first side) − log p(whole word of the other) given one prefix. Comparators of the same length: difference of
means, random feature sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from core.analysis.amplification import Config
from core.analysis.amplification.dose_response import (
    SLOPES,
    corrected,
    metrics,
    near_zero,
    response_schema,
    summarise_responses,
    summarise_slopes,
)
from core.analysis.amplification.findings import NO_MATCH, estimates
from core.analysis.amplification.further import measure_further
from core.analysis.amplification.picked import Picked
from core.analysis.amplification.rates import chosen_dose, rate_at, rates_schema
from core.analysis.amplification.rates import corrected as corrected_rates
from core.analysis.result import Result
from core.causal.controls import similar_controls
from core.causal.pairs import choose_samples, find_pairs, shared_contexts
from core.causal.resampling import Resampling
from core.causal.steering import FEATURES, Directions, SteeringRuns, directions
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.significance import ranked_tests, with_q
from core.lm.outcomes import word_ends
from core.stats.picking import picked_layer


@dataclass(frozen=True)
class _Steered:
    """A layer with its features and the vectors made of them."""

    opened: LayerView
    features: tuple[int, ...]
    steer: Directions

    @property
    def layer(self) -> int:
        return self.opened.layer


@dataclass(frozen=True)
class _Found:
    """Tables, layer by layer."""

    resampling: Resampling
    responses: list[pl.DataFrame] = field(default_factory=list)
    slopes: list[pl.DataFrame] = field(default_factory=list)
    images: list[pl.DataFrame] = field(default_factory=list)

    def add(self, steered: _Steered, runs: Sequence[SteeringRuns], config: Config) -> None:
        """Measure one layer."""
        opened, steer, layer = steered.opened, steered.steer, steered.layer
        found = pl.concat([part.respond(opened, steer, config.doses) for part in runs])
        random = pl.concat([part.random_slopes(opened, steer, near_zero(config.doses)) for part in runs])
        self.responses.append(summarise_responses(layer, found, self.resampling))
        self.slopes.append(summarise_slopes(layer, found, random, self.resampling))
        self.images.append(found.with_columns(pl.lit(layer, pl.UInt16).alias("layer")))


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Steer each layer with its highest-ranked features, one layer at a time, beside random features."""
    runs, notes = _open_runs(inputs, config)
    layers = inputs.chosen_layers(config.layers, "amplification")
    found = _Found(Resampling(inputs, config.bootstrap, {part.language: part.pairs for part in runs}))
    steered: list[_Steered] = []
    for number, layer in enumerate(layers if runs else ()):
        own = _steered(inputs, config, layer)
        if own is None:
            notes.append(f"layer {layer}: no feature passes the support filter on the selection split; not steered.")
            continue
        if not own.steer.random:
            notes.append(f"layer {layer}: {NO_MATCH}; no effect is claimed.")
        steered.append(own)
        found.add(own, runs, config)
        inputs.progress(number + 1, len(layers) + 1)
    if not steered:
        schemas = {"response": response_schema(inputs.concept), "slopes": SLOPES, "rates": rates_schema(inputs.concept)}
        empty = {name: schema.to_frame() for name, schema in schemas.items()}
        return Result(tables=empty, notes=(*notes, "No response was measured."))
    features = with_q(
        pl.concat([_describe(own) for own in steered]),
        [ranked_tests(own.layer, own.opened.ranking) for own in steered],
    )
    picked = next(own for own in steered if own.layer == picked_layer(features))
    doses = _chosen_doses(inputs, config, picked)
    rates, left_out = _rates(config, picked, runs, found, doses)
    responses = pl.concat(found.images).filter(layer=picked.layer)
    known = (inputs, picked.opened, picked.features, picked.steer, runs, responses, doses, found.resampling)
    further = measure_further(Picked(*known, config.draws), config)
    inputs.progress(len(layers) + 1, len(layers) + 1)
    tables = {
        "response": pl.concat(found.responses),
        "slopes": corrected(pl.concat(found.slopes)),
        "rates": rates,
        "features": features,
        "images": pl.concat(found.images),
        **further.tables,
    }
    shown = {"slopes": "Slope at dose 0", "rates": "Rate at the chosen dose", "response": "Dose and response"}
    return Result(
        metrics=metrics(tables["slopes"]),
        tables=tables,
        shown={**shown, **further.shown},
        notes=(*notes, *left_out, *further.notes),
        estimates=inputs.beside_planted(estimates(tables, inputs.concept, inputs.counted), "word"),
    )


def _open_runs(inputs: AnalysisInputs, config: Config, split: str = "test") -> tuple[list[SteeringRuns], list[str]]:
    loaded = inputs.open_model()
    ends = word_ends(loaded)
    captions = choose_samples(inputs, config.images, split).captions
    runs, notes = [], []
    for language in inputs.languages:
        pairs, reasons = find_pairs(inputs, loaded, captions, language)
        notes += [f"{count} {split} captions left out: {reason}." for reason, count in sorted(reasons.items())]
        if pairs:
            notes += shared_contexts(pairs, language, inputs.counted)
            runs.append(SteeringRuns(loaded, language, pairs, ends))
    return runs, notes


def _steered(inputs: AnalysisInputs, config: Config, layer: int) -> _Steered | None:
    opened = inputs.open_layer(layer)
    chosen = tuple(opened.ranking.strongest()[: config.features])
    if not chosen:
        return None
    control = similar_controls(opened, chosen, config.draws, inputs.seed)
    return _Steered(opened, chosen, directions(opened, chosen, control, inputs.seed))


def _chosen_doses(inputs: AnalysisInputs, config: Config, picked: _Steered) -> dict[str, float | None]:
    """The dose that the selection split chooses, by language; null where none is in range."""
    upward = [dose for dose in config.doses if dose > 0]
    selection, _ = _open_runs(inputs, config, "select")
    vectors = {FEATURES: picked.steer.vectors[FEATURES]}
    return {part.language: chosen_dose(part.respond_briefly(picked.opened, vectors, upward)) for part in selection}


def _rates(
    config: Config,
    picked: _Steered,
    runs: Sequence[SteeringRuns],
    found: _Found,
    doses: Mapping[str, float | None],
) -> tuple[pl.DataFrame, list[str]]:
    """The rate at the dose chosen, by language, and why a language has none."""
    responses = pl.concat(found.images).filter(layer=picked.layer, vector=FEATURES)
    rows, notes = [], []
    for part in runs:
        dose, own = doses.get(part.language), responses.filter(language=part.language)
        if dose is None:
            notes.append(f"{part.language}: no dose upward is in range on the selection split; no rate is measured.")
            continue
        clean = own.filter(dose=0.0) if 0 in config.doses else part.respond_clean(picked.opened, picked.steer)
        random = part.random_responses(picked.opened, picked.steer, dose)
        rows.append(rate_at(picked.layer, own.filter(dose=dose), clean, random, found.resampling))
    return corrected_rates(pl.DataFrame(rows, schema=rates_schema(found.resampling.inputs.concept))), notes


def _describe(own: _Steered) -> pl.DataFrame:
    chosen = list(own.features)
    columns = {
        "layer": pl.Series([own.layer] * len(chosen), dtype=pl.UInt16),
        "feature": pl.Series(chosen, dtype=pl.UInt32),
        "toward": [own.opened.concept.sides[0 if sign > 0 else 1] for sign in own.steer.signs],
        "quantile_99_5": pl.Series(own.steer.quantiles, dtype=pl.Float64),
        "association": [own.opened.ranking.association(chosen)] * len(chosen),
    }
    return pl.DataFrame(columns)
