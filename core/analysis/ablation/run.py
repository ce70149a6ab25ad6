"""What happens to the concept's word when features are taken out of the stream.

Outcome: log p(whole word of the first side) − log p(whole word of the other), the word's end included, given one
prefix; effects are signed toward the side that the caption's word does not have. Features are chosen on the
selection split, effects measured on test images, an image's captions averaged. Random features, matched on firing rate,
mean squared contribution and added norm and not associated with the concept, are the control; the twin's stream in
place of the image's own (interchange intervention: Geiger et al. 2021, arXiv 2106.02997) is the ceiling.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from core.analysis.ablation import Config
from core.analysis.ablation.balance import balance
from core.analysis.ablation.captions import SHOWN, WRITTEN, Captioned, caption_summary
from core.analysis.ablation.curve import DOSES, curve_tables
from core.analysis.ablation.findings import NO_MATCH, estimates
from core.analysis.ablation.lexicon import lexicon_summary, lexicon_words
from core.analysis.ablation.measures import Asked, LanguageRuns, Measured, Target
from core.analysis.ablation.summary import EFFECTS, by_image, corrected, metrics, specificity, summarise
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.pairs import choose_samples, find_pairs, shared_contexts
from core.causal.resampling import Resampling
from core.causal.word_sets import lexicon_of
from core.data.attributes import profession_of_image
from core.data.concept import Concept, side_noun
from core.features.inputs import AnalysisInputs
from core.features.significance import ranked_tests, with_q
from core.lm.outcomes import word_ends
from core.stats.picking import picked_layer

CURVES = {"curve": "Effect against KL", "at_control_kl": "Effect at the KL of the random sets"}


def headings(concept: Concept) -> dict[str, str]:
    """The tables that a report shows, with what stands above each."""
    return {
        "effects": f"Effect on the {concept.adjective} word",
        "specificity": "Effect on all other words",
        "balance": "Chosen features and their random sets",
        **CURVES,
        "lexicon": f"Effect on all {concept.adjective} words of the language",
        **SHOWN,
    }


@dataclass(frozen=True)
class _Found:
    """What is measured layer by layer: tables in parts, by name, and what was ablated."""

    resampling: Resampling
    parts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    targets: dict[int, Target] = field(default_factory=dict)

    def add(self, target: Target, runs: Sequence[LanguageRuns], config: Config) -> None:
        """Measure one layer."""
        layer, resampling = target.layer, self.resampling
        measured = [language.measure(target) for language in runs]
        found = {
            "effects": [summarise(layer, measured, resampling)],
            "specificity": [specificity(layer, measured, resampling)],
            "features": [_describe(target)],
            "images": [part.effects.with_columns(pl.lit(layer, pl.UInt16).alias("layer")) for part in measured],
            "draws": [_mean_draws(part, layer) for part in measured],
            "balance": [balance(target, measured)],
        }
        if config.curve:
            dosed = [language.dosed(target, DOSES) for language in runs]
            found |= {
                name: [part]
                for name, part in zip(CURVES, curve_tables(layer, dosed, measured, resampling), strict=True)
            }
        if config.lexicon:
            found["lexicon"] = [lexicon_summary(layer, measured, resampling)]
        for name, parts in found.items():
            self.parts.setdefault(name, []).extend(parts)
        self.targets[layer] = target

    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables over all layers, corrected."""
        tables = {name: pl.concat(parts) for name, parts in self.parts.items()}
        tests = [ranked_tests(layer, target.view.ranking) for layer, target in self.targets.items()]
        features = {"features": with_q(tables["features"], tests)}
        return tables | features | {name: corrected(tables[name]) for name in ("effects", "lexicon") if name in tables}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Ablate each layer's highest-ranked features, one layer at a time, beside random features and interchange."""
    runs, notes = _open_runs(inputs, config)
    layers = inputs.chosen_layers(config.layers, "ablation")
    groups = profession_of_image(inputs.samples) if config.professions else {}
    found = _Found(Resampling(inputs, config.bootstrap, {part.language: part.pairs for part in runs}, groups))
    for number, layer in enumerate(layers if runs else ()):
        target = _target(inputs, config, layer)
        if target is None:
            notes.append(
                f"layer {layer}: no feature passes the support filter on the selection split; nothing ablated."
            )
            continue
        if not target.control.draws:
            notes.append(f"layer {layer}: {NO_MATCH}; no effect is claimed.")
        found.add(target, runs, config)
        inputs.progress(number + 1, len(layers))
    if not found.targets:
        return Result(tables={"effects": EFFECTS.to_frame()}, notes=(*notes, "No ablation was measured."))
    tables = found.tables()
    if config.lexicon:
        tables["lexicon_words"] = lexicon_words(runs, inputs.concept)
    if config.captions:
        written, unwritten = _captions(inputs, config, found.targets[picked_layer(tables["features"])])
        notes += unwritten
        tables |= {"captions": caption_summary(written, found.resampling), "written": written} if written.height else {}
    over = found.resampling.over
    return Result(
        metrics=metrics(tables["effects"], tables["specificity"], inputs.concept.positions.first),
        tables=tables,
        shown={name: heading for name, heading in headings(inputs.concept).items() if name in tables},
        notes=tuple(notes),
        estimates=inputs.beside_planted(estimates(tables, inputs.concept, inputs.counted, over), "word"),
    )


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
        first, reasons = find_pairs(inputs, loaded, chosen.captions, language)
        later, _ = find_pairs(inputs, loaded, chosen.captions, language, "later")
        left_out += reasons
        if first:
            notes += shared_contexts(first, language, inputs.counted)
            lexicon = lexicon_of(inputs, language) if config.lexicon else None
            runs.append(LanguageRuns(loaded, language, Asked(first, later, lexicon, inputs.concept), ends))
        else:
            notes.append(
                f"{language}: none of the test {inputs.counted} has a {inputs.concept.adjective} word with a "
                "counterpart; the language is left out."
            )
    if any(not part.trains_last_prompt for part in runs):
        notes.append(
            "Ablation at the last prompt token alone is left out: that token is a control token, and no SAE is trained "
            "on its rows."
        )
    counted = (f"{count} × {reason}" for reason, count in sorted(left_out.items()))
    return runs, [*notes, f"Test {inputs.counted} or captions left out: " + ("; ".join(counted) or "none") + "."]


def _target(inputs: AnalysisInputs, config: Config, layer: int) -> Target | None:
    view = inputs.open_layer(layer)
    features = tuple(view.ranking.strongest()[: config.features])
    if not features:
        return None
    control = matched_controls(view, features, config.draws, inputs.seed)
    return Target(view, features, control, view.ranking.association(features))


def _captions(inputs: AnalysisInputs, config: Config, target: Target) -> tuple[pl.DataFrame, list[str]]:
    """Captions written at one layer, and what is to be said of them."""
    loaded, notes, parts = inputs.open_model(), [], [WRITTEN.to_frame()]
    if loaded.unwritable:
        return parts[0], [f"No caption is written: {loaded.unwritable}."]
    rows = choose_samples(inputs, config.captions).rows
    for language in inputs.languages:
        pairs, _ = find_pairs(inputs, loaded, rows, language)
        if pairs:
            parts.append(Captioned(inputs, target, language, pairs).written())
    written, side = pl.concat(parts), side_noun(inputs.concept)
    texts = written.filter(condition="clean").select("language", pl.col("changed").is_null())
    for (language,), own in texts.group_by("language", maintain_order=True):
        silent = own["changed"].sum()
        notes += [f"{language}: {silent} of {own.height} clean captions tell no one {side}, and cannot change it."]
    return written, notes if written.height else ["No caption is written: no image has a pair."]


def _describe(target: Target) -> pl.DataFrame:
    """The features ablated, and how many their controls were drawn from."""
    chosen = list(target.features)
    columns = {
        "layer": [target.layer] * len(chosen),
        "feature": chosen,
        "rank": range(1, len(chosen) + 1),
        "association": [target.association] * len(chosen),
        "strength": target.view.profile.strength()[chosen],
        "control_pool": [target.control.pool] * len(chosen),
        "caliper": [target.control.caliper] * len(chosen),
    }
    kinds = {
        "layer": pl.UInt16,
        "feature": pl.UInt32,
        "rank": pl.UInt16,
        "control_pool": pl.UInt32,
        "caliper": pl.Float64,
    }
    return pl.DataFrame(columns).cast(kinds)  # type: ignore[arg-type]


def _mean_draws(part: Measured, layer: int) -> pl.DataFrame:
    means = by_image(part.draws, ["draw"]).group_by("language", "draw").agg(pl.col("effect").mean())
    ordered = means.sort("language", "draw")
    return ordered.select(pl.lit(layer, pl.UInt16).alias("layer"), "language", pl.col("draw").cast(pl.UInt32), "effect")
