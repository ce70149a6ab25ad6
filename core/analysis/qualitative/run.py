"""A gallery: captions before and after intervention, picked by rule, and how often their gender changes.

Captions are generated greedily with the intervention in force at every step. Features are taken out (ablated), or
turned toward the gender that the clean caption does not have (amplified) at the largest dose that stays shorter than
the stream itself; a matched random set taken out says what any features do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool
from torch import Tensor

from core.analysis.qualitative import Config
from core.analysis.qualitative.gallery import Strip, pick_images, read_strips
from core.analysis.qualitative.gender_changes import away_from, gender_changes, headlines
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.interventions import Ablation, Steering, during_generation
from core.causal.pairs import MinimalPair, choose_samples, find_pairs
from core.causal.runs import CaptionRuns, PairRuns, relative_norms
from core.causal.steering import feature_vector
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.generate import Intervention, generate
from core.lm.loaded import LoadedModel
from core.lm.outcomes import word_ends
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample

POOL = 24
"""Images that captions are generated for; the gallery shows some of them."""
DOSES = (4.0, 2.0, 1.0, 0.5)
_GALLERY: dict[str, Any] = {
    "sample_id": pl.String,
    "image": pl.String,
    "rule": pl.String,
    "language": pl.String,
    "reference": pl.String,
    "clean": pl.String,
    "ablated": pl.String,
    "amplified": pl.String,
    "strip": pl.List(pl.Struct({"token": pl.String, "value": pl.Float32})),
    "map": pl.List(pl.Float32),
    "effect": pl.Float64,
}
GALLERY = pl.Schema(_GALLERY)
CAPTIONS = pl.Schema(
    {
        "sample_id": pl.String,
        "image_id": pl.String,
        "language": pl.String,
        "gender": pl.String,
        "effect": pl.Float64,
        "clean": pl.String,
        "ablated": pl.String,
        "amplified": pl.String,
        "random": pl.String,
    }
)


@dataclass(frozen=True)
class _Plan:
    """What is done to the stream at one layer."""

    loaded: LoadedModel
    opened: LayerView
    features: tuple[int, ...]
    random: tuple[int, ...] | None
    toward_female: Tensor
    ends: Bool[Tensor, " V"]


@dataclass(frozen=True)
class _Shown:
    """One language's captions (a row each), heat strips in the same order, and the dose of amplification."""

    captions: pl.DataFrame
    strips: list[Strip]
    dose: float


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Generate captions of test images with and without intervention, and pick the ones to show."""
    plan = _plan(inputs, config)
    if plan is None:
        note = f"layer {config.layer}: no feature passes the support filter on the selection split; nothing to show."
        return Result((), {}, {"gallery": GALLERY.to_frame()}, notes=(note,))
    chosen = choose_samples(inputs, max(POOL, config.images))
    shown: dict[str, _Shown] = {}
    notes: list[str] = []
    for number, language in enumerate(inputs.languages):
        pairs, reasons = find_pairs(inputs, plan.loaded, chosen.rows, language)
        notes += [f"{count} test images left out: {reason}." for reason, count in sorted(reasons.items())]
        if pairs:
            shown[language] = _show(inputs, plan, pairs, config.max_new_tokens)
        inputs.progress(number + 1, len(inputs.languages))
    if not shown:
        return Result((), {}, {"gallery": GALLERY.to_frame()}, notes=(*notes, "No captions to compare."))
    if inputs.images is None:
        notes.append("Text only: the model continues each sample's text; there are no maps.")
    captions = pl.concat([part.captions for part in shown.values()])
    changes = gender_changes(captions)
    gallery = _gallery(inputs, shown, config.images)
    tables = {"gallery": gallery, "captions": captions, "changes": changes}
    dose = ", ".join(f"{language} {part.dose:g}" for language, part in shown.items())
    notes.append(f"Amplified at dose {dose} (99.5th percentiles), toward the gender the caption does not have.")
    metrics = {f"{row['language']}.{row['condition']}.changed": row["rate"] for row in changes.rows(named=True)}
    shown_tables = {"changes": "Captions whose gender changes"}
    return Result(headlines(changes, config.layer), metrics, tables, shown_tables, tuple(notes))


def _plan(inputs: AnalysisInputs, config: Config) -> _Plan | None:
    opened = inputs.open_layer(config.layer)
    features = tuple(opened.ranking.strongest()[: config.features])
    if not features:
        return None
    control = matched_controls(opened, features, 1, inputs.seed)
    vector = feature_vector(opened, features, opened.ranking.signs(features))
    loaded = inputs.open_model()
    random = control.draws[0] if control.draws else None
    return _Plan(loaded, opened, features, random, vector, word_ends(loaded))


def _show(inputs: AnalysisInputs, plan: _Plan, pairs: Sequence[MinimalPair], most: int) -> _Shown:
    """Effects, generated captions and heat strips of one language's pairs."""
    layer = plan.opened.layer
    runs = PairRuns(plan.loaded, pairs, plan.ends)
    sites = runs.sites(plan.opened)
    ablation = Ablation(plan.features)
    before = runs.log_odds(layer, [site.stream for site in sites])
    effect = np.array([pair.sign for pair in pairs]) * (runs.patched(layer, sites, ablation) - before)
    dose = next((d for d in DOSES if relative_norms(sites, Steering(plan.toward_female * d).delta) <= 1), DOSES[-1])
    prompts = [_prompt(inputs, plan.loaded, pair) for pair in pairs]
    texts = _captions(plan, pairs, prompts, dose, most)
    columns = {
        "sample_id": [pair.caption.sample_id for pair in pairs],
        "image_id": [pair.image_id for pair in pairs],
        "language": [pair.caption.language for pair in pairs],
        "gender": [pair.side for pair in pairs],
        "effect": effect,
        **texts,
    }
    whole = CaptionRuns(plan.loaded, pairs)
    strips: dict[int, Strip] = {}
    for (some, batch), site in zip(whole.batches(), whole.sites(plan.opened), strict=True):
        strips |= dict(zip(some, read_strips([pairs[i] for i in some], batch, site, plan.features), strict=True))
    return _Shown(pl.DataFrame(columns, schema=CAPTIONS), [strips[i] for i in range(len(pairs))], dose)


def _prompt(inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair) -> EncodedSample:
    """The prompt alone; in a study of text only the sample's own text, which the model continues."""
    if pair.caption.image is None:
        return pair.caption
    own = pair.caption
    instruction = inputs.instructions.get(own.language, "")
    return encode_sample(loaded, CaptionRequest(own.sample_id, own.image_id, own.language, "", instruction, own.image))


def _captions(
    plan: _Plan, pairs: Sequence[MinimalPair], prompts: Sequence[EncodedSample], dose: float, most: int
) -> dict[str, list[str | None]]:
    """Generated captions by condition, in the pairs' order; null where there is no random set."""
    layer, sae, limit = plan.opened.layer, plan.opened.sae, plan.opened.table.norm_limit

    def written(patch: Ablation | Steering | None, which: Sequence[int]) -> dict[int, str]:
        force = None if patch is None else Intervention(layer, during_generation(sae, patch, limit))
        return dict(zip(which, generate(plan.loaded, [prompts[i] for i in which], most, force), strict=True))

    everyone = range(len(pairs))
    clean = written(None, everyone)
    away = [away_from(clean[i], pairs[i].caption.language, pairs[i].sign) for i in everyone]
    steered: dict[int, str] = {}
    for sign in (1, -1):
        which = [index for index in everyone if away[index] == sign]
        steered |= written(Steering(plan.toward_female * (sign * dose)), which)
    random = written(Ablation(plan.random), everyone) if plan.random is not None else {}
    by_condition: Mapping[str, dict[int, str]] = {
        "clean": clean,
        "ablated": written(Ablation(plan.features), everyone),
        "amplified": steered,
        "random": random,
    }
    return {name: [texts.get(index) for index in everyone] for name, texts in by_condition.items()}


def _gallery(inputs: AnalysisInputs, shown: Mapping[str, _Shown], count: int) -> pl.DataFrame:
    """The images picked by their mean effect over languages, one row a language."""
    joined = pl.concat([part.captions.select("image_id", "effect") for part in shown.values()])
    means = joined.group_by("image_id", maintain_order=True).agg(pl.col("effect").mean())
    rules = pick_images(dict(means.iter_rows()), count)
    described = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    rows = []
    for image, rule in rules.items():
        for language, part in shown.items():
            for place, row in enumerate(part.captions.rows(named=True)):
                if row["image_id"] == image:
                    sample = described[row["sample_id"]]
                    rows.append(_gallery_row(row, sample, rule, part.strips[place]) | {"language": language})
    return pl.DataFrame(rows, schema=GALLERY)


def _gallery_row(row: Mapping[str, Any], sample: Mapping[str, Any], rule: str, strip: Strip) -> dict[str, Any]:
    return {
        "sample_id": row["sample_id"],
        "image": sample.get("image"),
        "rule": rule,
        "reference": sample[f"caption_{row['language']}"],
        **{name: row[name] for name in ("clean", "ablated", "amplified", "effect")},
        "strip": [{"token": token, "value": value} for token, value in strip.pieces],
        "map": list(strip.cells),
    }
