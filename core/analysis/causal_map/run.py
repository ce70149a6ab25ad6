"""Where what decides the gendered word stands, and which languages' features carry it.

The residual stream at a layer and a position set is replaced by that of the gender twin's run (interchange
intervention: Geiger et al. 2021, arXiv 2106.02997); outcome and sign are those of the ablation. Then only what some
features write is replaced: those that go with gender in every language, or in one alone, on the selection split. Last,
one language's activations are put into the other's run.
"""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from core.analysis.causal_map import Config
from core.analysis.causal_map.asking import FIRST, ask
from core.analysis.causal_map.carried import FROZEN, SAE, SWAPS, WHOLE, Classes, swap, swap_classes
from core.analysis.causal_map.crossed import cross
from core.analysis.causal_map.feature_tables import CARRIED, CROSSED, carried, crossed, second_table
from core.analysis.causal_map.findings import estimates
from core.analysis.causal_map.matching import BALANCES, balances, few_signs, without_match
from core.analysis.causal_map.measures import MapRuns
from core.analysis.causal_map.picking import Picked, middle_layer, strongest_layer
from core.analysis.causal_map.summary import CEILING, MAP, summarise
from core.analysis.result import Result
from core.causal.controls import RandomSets, matched_controls
from core.causal.pairs import shared_contexts
from core.causal.resampling import Resampling
from core.data.attributes import profession_of_image
from core.features.associated_languages import (
    CLASSES,
    associated_languages,
    class_names,
    members,
)
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.outcomes import word_ends
from core.stats.two_numbers import differing

SHOWN = {
    "map": "Interchange by layer and position set",
    "ceiling": "Interchange at every position",
    "carried": "What features carry of the decision",
    "second": "The same at a second number of features",
    "crossed": "One language's features in another's run",
    "balance": "Classes of features and their random sets",
}
_OF_FEATURES = {"classes": CLASSES, "carried": CARRIED, "crossed": CROSSED, "balance": BALANCES}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Map every layer, then swap features at the layer where they go most with gender."""
    loaded = inputs.open_model()
    asked, notes = ask(inputs, loaded, config)
    if not asked:
        tables = {name: schema.to_frame() for name, schema in {"map": MAP, "ceiling": CEILING, **_OF_FEATURES}.items()}
        return Result(tables=tables, notes=(*notes, "No caption has a twin to interchange with; nothing was measured."))
    ends, layers = word_ends(loaded), inputs.chosen_layers(config.layers, "causal_map")
    runs = [MapRuns(loaded, one, ends, inputs.concept) for one in asked]
    groups = profession_of_image(inputs.samples) if config.professions else {}
    resampling = {
        (one.outcome, one.language): Resampling(inputs, config.bootstrap, {one.language: one.pairs}, groups)
        for one in asked
    }
    for one in asked:
        notes += shared_contexts(one.pairs, one.language, inputs.counted) if one.outcome == FIRST else []
    effects = []
    for number, layer in enumerate(layers):
        effects += [part.interchange(layer, every=number == 0) for part in runs]
        inputs.progress(number + 1, len(layers) + 2)
    tables = summarise(pl.concat(effects), resampling)
    first = {part.asked.language: part for part in runs if part.asked.outcome == FIRST}
    pairs = {language: part.asked.pairs for language, part in first.items()}
    every = Resampling(inputs, config.bootstrap, pairs, groups)
    found, told, picked = _features(inputs, config, first, every)
    tables |= found
    measured = estimates(tables, picked, inputs.counted, every.over)
    differ = differing(measured, (config.features, config.second_features or 0))
    return Result(
        metrics=_metrics(tables["map"]),
        tables=tables,
        shown={name: heading for name, heading in SHOWN.items() if name in tables and tables[name].height},
        notes=(*notes, *told, *few_signs(tables, config.bootstrap), *differ),
        estimates=inputs.beside_planted(measured, "word"),
    )


def _features(
    inputs: AnalysisInputs, config: Config, runs: Mapping[str, MapRuns], resampling: Resampling
) -> tuple[dict[str, pl.DataFrame], list[str], Picked]:
    """The tables of features, notes, and the layer that is reported."""
    tables = {name: schema.to_frame() for name, schema in _OF_FEATURES.items()}
    layers = inputs.chosen_layers(config.layers, "causal_map")
    if len(inputs.languages) < 2:
        one = "One language: no feature is shared, or of one language alone; none is swapped."
        return tables, [one], middle_layer(layers, "one language has no classes of features")
    rankings = {layer: inputs.open_layer(layer).ranking for layer in layers}
    tables["classes"] = associated_languages(rankings, inputs.languages)
    picked = strongest_layer(tables["classes"], layers, inputs, config)
    if picked is None:
        none = "No feature is shared, or of one language alone, on the selection split; none is swapped."
        return tables, [none], middle_layer(layers, "no feature is in a class")
    layer = picked.layer
    own = _classes(inputs, config, inputs.open_layer(layer), (SAE, tables["classes"]))
    swaps = [SWAPS.to_frame(), *(swap(part, own) for part in runs.values())]
    inputs.progress(len(layers) + 1, len(layers) + 2)
    notes = without_match(own)
    if inputs.open_frozen is not None:
        views = {number: inputs.open_frozen(number) for number in layers}
        known = associated_languages({number: view.ranking for number, view in views.items()}, inputs.languages)
        frozen = _classes(inputs, config, views[layer], (FROZEN, known))
        swaps += [swap(part, frozen) for part in runs.values()]
    tables["carried"] = carried(pl.concat(swaps), layer, resampling)
    tables["crossed"] = crossed(cross(runs, own, inputs.concept), layer, resampling)
    tables["balance"] = balances(own)
    if config.second_features is not None:
        more = _second(inputs, config, own, tables["classes"])
        notes += [] if more.members else [f"layer {layer}: the classes are the same at both numbers of features."]
        rows = [*(swap_classes(part, more) for part in runs.values()), pl.concat(swaps).filter(swapped=WHOLE)]
        tables["second"] = second_table(carried(pl.concat(rows), layer, resampling), more)
        notes += without_match(more)
    return tables, notes, picked


def _second(inputs: AnalysisInputs, config: Config, own: Classes, known: pl.DataFrame) -> Classes:
    """The classes at the second number of features, but for those that have the same features at both."""
    assert config.second_features is not None
    asked = config.model_copy(update={"features": config.second_features})
    found = _classes(inputs, asked, own.view, (SAE, known))
    other = [name for name, features in found.members.items() if features != own.members[name]]
    return replace(
        found,
        members={name: found.members[name] for name in other},
        controls={name: control for name, control in found.controls.items() if name in other},
    )


def _classes(inputs: AnalysisInputs, config: Config, view: LayerView, known: tuple[str, pl.DataFrame]) -> Classes:
    """The strongest features of each class, and random sets in the place of the SAE's."""
    dictionary, classes = known
    chosen = {name: members(classes, view.layer, name)[: config.features] for name in class_names(inputs.languages)}
    controls: dict[str, RandomSets] = {}
    for name, features in chosen.items():
        if features and dictionary == SAE:
            controls[name] = matched_controls(view, features, config.draws, inputs.seed)
    return Classes(view, dictionary, chosen, controls)


def _metrics(cells: pl.DataFrame) -> dict[str, float]:
    """The effect in every cell of the first word."""
    own = cells.filter(outcome=FIRST).select("layer", "language", "positions", "effect")
    return {f"layer_{layer}.{language}.{name}": float(effect) for layer, language, name, effect in own.iter_rows()}
