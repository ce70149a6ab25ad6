"""What happens to the gendered word when gender-associated features are taken out of the stream.

Outcome: log p(whole w_f) − log p(whole w_m), the word's end included, given one prefix; effects are signed toward the
gender that the caption does not have. Features are chosen on the selection split, effects measured on test images.
Random features, matched on firing rate and mean squared contribution and not associated with gender, say what taking
out just any features does; the gender twin's stream in place of the image's own (interchange intervention: Geiger et
al. 2021, arXiv 2106.02997) says what there was to gain.
"""

from collections import Counter

import polars as pl

from core.analysis.ablation import Config
from core.analysis.ablation.measures import LanguageRuns, Measured, Target
from core.analysis.ablation.summary import EFFECTS, headlines, metrics, specificity, summarise, with_q
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.pairs import choose_samples, find_pairs, shared_contexts
from core.features.inputs import AnalysisInputs
from core.lm.outcomes import word_ends


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Ablate each layer's gender features, one layer at a time, and compare with random features and interchange."""
    runs, notes = _open_runs(inputs, config)
    layers = inputs.chosen_layers(config.layers, "ablation")
    effects, side, features, images, draws = [], [], [], [], []
    for number, layer in enumerate(layers if runs else ()):
        target = _target(inputs, config, layer)
        if target is None:
            notes.append(
                f"layer {layer}: no feature passes the support filter on the selection split; nothing ablated."
            )
            continue
        if not target.control.draws:
            notes.append(f"layer {layer}: too few unassociated features for a random control.")
        measured = [language.measure(target) for language in runs]
        effects.append(summarise(layer, measured, config.bootstrap, inputs.seed))
        side.append(specificity(layer, measured, config.bootstrap, inputs.seed))
        features.append(_describe(target))
        images += [part.effects.with_columns(pl.lit(layer, pl.UInt16).alias("layer")) for part in measured]
        draws += [_mean_draws(part, layer) for part in measured]
        inputs.progress(number + 1, len(layers))
    if not effects:
        return Result((), {}, {"effects": EFFECTS.to_frame()}, notes=(*notes, "No ablation was measured."))
    tables = {
        "effects": with_q(pl.concat(effects)),
        "specificity": pl.concat(side),
        "features": pl.concat(features),
        "images": pl.concat(images),
        "draws": pl.concat(draws),
    }
    shown = {"effects": "Effect on the gendered word", "specificity": "Effect on all other words"}
    return Result(headlines(tables), metrics(tables), tables, shown, tuple(notes))


def _open_runs(inputs: AnalysisInputs, config: Config) -> tuple[list[LanguageRuns], list[str]]:
    loaded = inputs.open_model()
    ends = word_ends(loaded)
    chosen = choose_samples(inputs, config.images)
    left_out = Counter(chosen.left_out)
    notes = (
        [] if inputs.images else ["Text only: interchange with a twin's image and image-only ablation are left out."]
    )
    runs = []
    for language in inputs.languages:
        first, reasons = find_pairs(inputs, loaded, chosen.rows, language)
        later, _ = find_pairs(inputs, loaded, chosen.rows, language, "later")
        left_out += reasons
        if first:
            notes += shared_contexts(first, language)
            runs.append(LanguageRuns(loaded, language, first, later, ends))
        else:
            notes.append(f"{language}: no test image has a gendered word with a counterpart; the language is left out.")
    counted = (f"{count} × {reason}" for reason, count in sorted(left_out.items()))
    return runs, [*notes, "Test images left out: " + ("; ".join(counted) or "none") + "."]


def _target(inputs: AnalysisInputs, config: Config, layer: int) -> Target | None:
    view = inputs.open_layer(layer)
    features = tuple(view.ranking.strongest()[: config.features])
    if not features:
        return None
    control = matched_controls(view, features, config.draws, inputs.seed)
    return Target(view, features, control, view.ranking.association(features))


def _describe(target: Target) -> pl.DataFrame:
    """The features ablated, with what their controls were matched on."""
    chosen = list(target.features)
    columns = {
        "layer": [target.layer] * len(chosen),
        "feature": chosen,
        "rank": range(1, len(chosen) + 1),
        "association": [target.association] * len(chosen),
        "strength": target.view.profile.strength()[chosen],
        "control_strength": [_drawn_strength(target, place) for place in range(len(chosen))],
        "control_pool": [target.control.pool] * len(chosen),
    }
    kinds = {"layer": pl.UInt16, "feature": pl.UInt32, "rank": pl.UInt16, "control_pool": pl.UInt32}
    return pl.DataFrame(columns).cast(kinds)  # type: ignore[arg-type]


def _drawn_strength(target: Target, place: int) -> float | None:
    """Mean squared contribution of the features drawn in the place of one chosen feature."""
    strength = target.view.profile.strength()
    drawn = [float(strength[features[place]]) for features in target.control.draws]
    return sum(drawn) / len(drawn) if drawn else None


def _mean_draws(part: Measured, layer: int) -> pl.DataFrame:
    means = part.draws.group_by("language", "draw").agg(pl.col("effect").mean()).sort("language", "draw")
    return means.select(pl.lit(layer, pl.UInt16).alias("layer"), "language", pl.col("draw").cast(pl.UInt32), "effect")
