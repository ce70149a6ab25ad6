"""Whether features act on the concept's word together: I(f, g) = Δ(fg) − Δ(f) − Δ(g), and which fire together.

Δ is the ablation's effect, in nats toward the other side. Above 0, each feature makes up for the other's loss, so
that more is lost when both are gone; below 0, the second adds less once the first is gone. Features and layer are
chosen on the selection split, effects measured on test images. The control are random feature sets, one draw per set,
each matched with the chosen one on firing rate, mean squared contribution and added norm.
"""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from core.analysis.interactions import Config
from core.analysis.interactions.findings import NO_MATCH, estimates
from core.analysis.interactions.pairs import SHIFTS, measure
from core.analysis.interactions.summary import OVERALL, PAIRS, overall_table, pairs_table
from core.analysis.result import Result
from core.causal.balance import BALANCE, balance
from core.causal.controls import RandomSets, matched_controls
from core.causal.pairs import choose_samples, find_pairs, shared_contexts
from core.causal.resampling import Resampling
from core.causal.runs import PairRuns
from core.data.attributes import profession_of_image
from core.features.coactive import NETWORK, network
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.significance import ranked_tests, with_q
from core.lm.outcomes import word_ends
from core.stats.estimate import number_of
from core.stats.two_numbers import differing

SHOWN = {
    "overall": "Mean interaction of all pairs",
    "second": "The same at a second number of features",
    "pairs": "Interaction by pair",
    "features": "Features",
    "network": "Features that fire together",
    "balance": "Chosen features and their random sets",
}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Ablate the highest-ranked features one by one and in pairs, beside pairs of random features."""
    layers = inputs.chosen_layers(config.layers, "interactions")
    views = {layer: inputs.open_layer(layer) for layer in layers}
    ranked = {layer: view.ranking.strongest() for layer, view in views.items()}
    strength = {
        layer: view.ranking.association(ranked[layer][: config.features])
        for layer, view in views.items()
        if len(ranked[layer]) > 1
    }
    if not strength:
        none = "No layer has two features that pass the support filter on the selection split; nothing was measured."
        return Result(tables=_empty(), notes=(none,))
    layer = max(strength, key=strength.__getitem__)  # the lower one of equals
    features = ranked[layer][: config.features]
    control = matched_controls(views[layer], features, config.sets, inputs.seed)
    second = _second(inputs, config, views[layer], ranked[layer])
    sets = [[features, *control.draws], *([[second[0], *second[1].draws]] if second else [])]
    (shifts, *more), resampling, notes = _shifts(inputs, config, views[layer], sets)
    notes += [] if control.draws else [f"layer {layer}: {NO_MATCH}; no interaction is claimed."]
    tests = [ranked_tests(number, view.ranking) for number, view in views.items()]
    tables = _empty() | {
        "features": with_q(_features(views[layer], ranked[layer][: config.network]), tests),
        "network": network(views[layer].index, views[layer].table.tokens, ranked[layer][: config.network]),
        "balance": balance(views[layer], tuple(features), control),
    }
    if shifts.height:
        tables |= {"pairs": pairs_table(shifts, layer, resampling), "overall": overall_table(shifts, layer, resampling)}
    if second and more[0].height:
        count = pl.lit(len(second[0]), pl.UInt32).alias("features")
        tables["second"] = overall_table(more[0], layer, resampling).with_columns(count)
    chosen = tables["features"].head(len(features))
    found = estimates(tables, chosen, len(strength), (inputs.concept, inputs.counted), resampling.over)
    if second:
        notes += differing(found, (len(features), len(second[0])))
    elif config.second_features is not None:
        notes.append(f"layer {layer}: {number_of(len(features), 'feature')} at both numbers; measured once.")
    return Result(
        metrics={f"{row['language']}.interaction": row["effect"] for row in tables["overall"].iter_rows(named=True)},
        tables=tables,
        shown={name: heading for name, heading in SHOWN.items() if name in tables and tables[name].height},
        notes=tuple(notes),
        estimates=found,
    )


def _empty() -> dict[str, pl.DataFrame]:
    features = {"layer": pl.UInt16, "feature": pl.UInt32, "rank": pl.UInt16, "lean": pl.Float64, "q": pl.Float64}
    schemas = {"overall": OVERALL, "pairs": PAIRS, "features": pl.Schema(features), "network": NETWORK}
    schemas["balance"] = BALANCE
    return {name: schema.to_frame() for name, schema in schemas.items()}


def _second(
    inputs: AnalysisInputs, config: Config, view: LayerView, ranked: list[int]
) -> tuple[list[int], RandomSets] | None:
    """The features at the second number and their random sets; null where they are those of the first."""
    features = ranked[: config.second_features] if config.second_features is not None else []
    if len(features) < 2 or features == ranked[: config.features]:
        return None
    return features, matched_controls(view, features, config.sets, inputs.seed)


def _shifts(
    inputs: AnalysisInputs, config: Config, view: LayerView, groups: list[list[Sequence[int]]]
) -> tuple[list[pl.DataFrame], Resampling, list[str]]:
    """Interactions by caption of each group's sets, of which the first is the chosen one; how they are resampled, and
    notes."""
    loaded = inputs.open_model()
    chosen, ends = choose_samples(inputs, config.images), word_ends(loaded)
    left_out, known = Counter(chosen.left_out), {}
    frames = [[SHIFTS.to_frame()] for _ in groups]
    notes: list[str] = []
    professions = profession_of_image(inputs.samples) if config.professions else {}
    for number, language in enumerate(inputs.languages):
        pairs, reasons = find_pairs(inputs, loaded, chosen.captions, language)
        left_out += reasons
        if pairs:
            known[language] = pairs
            notes += shared_contexts(pairs, language, inputs.counted)
            runs = PairRuns(loaded, pairs, ends)
            for own, sets in zip(frames, groups, strict=True):
                own.append(measure(runs, view, language, sets))
        inputs.progress(number + 1, len(inputs.languages))
    counted = "; ".join(f"{count} × {reason}" for reason, count in sorted(left_out.items()) if count)
    notes.append(f"Test {inputs.counted} or captions left out: {counted or 'none'}.")
    every = [pl.concat(own) for own in frames]
    return every, Resampling(inputs, config.bootstrap, known, professions), notes


def _features(view: LayerView, ranked: list[int]) -> pl.DataFrame:
    """The features of the network, the highest-ranked first; `lean` is AUROC − ½, above 0 for the first side."""
    columns = {
        "layer": [view.layer] * len(ranked),
        "feature": ranked,
        "rank": range(1, len(ranked) + 1),
        "lean": view.ranking.lean[ranked],
    }
    return pl.DataFrame(columns).cast({"layer": pl.UInt16, "feature": pl.UInt32, "rank": pl.UInt16})
