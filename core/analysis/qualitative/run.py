"""A gallery: captions before and after intervention, picked by rule, and how often their gender changes.

Captions are generated greedily with the intervention in force at every step. Features are taken out (ablated), or
turned toward the gender that the clean caption does not have (amplified) at the largest dose that stays shorter than
the stream itself; the same is done to matched random sets, which say what any features do.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool
from torch import Tensor

from core.analysis.qualitative import Config
from core.analysis.qualitative.findings import estimates
from core.analysis.qualitative.gallery import Strip, pick_images, read_strips
from core.analysis.qualitative.gender_changes import away_from, changes_by_image, differences, gender_changes, turned
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.interventions import Ablation, Steering
from core.causal.pairs import MinimalPair, choose_samples, find_pairs
from core.causal.runs import CaptionRuns, PairRuns, relative_norms
from core.causal.steering import feature_vector
from core.causal.written import prompt_of, written
from core.data.languages import LANGUAGE_NAMES
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.outcomes import word_ends
from core.lm.prompts import EncodedSample

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
_CAPTIONS: dict[str, Any] = {
    **dict.fromkeys(("sample_id", "image_id", "language", "gender"), pl.String),
    "effect": pl.Float64,
    **dict.fromkeys(("clean", "ablated", "amplified"), pl.String),
    **dict.fromkeys(("random", "random_amplified"), pl.List(pl.String)),
}
CAPTIONS = pl.Schema(_CAPTIONS)
"""Texts by condition; of the random sets a list, one text a set."""


@dataclass(frozen=True)
class _Plan:
    """What is done to the stream at one layer."""

    loaded: LoadedModel
    opened: LayerView
    features: tuple[int, ...]
    random: tuple[tuple[int, ...], ...]
    toward_female: Tensor
    random_vectors: tuple[Tensor, ...]
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
        return Result(tables={"gallery": GALLERY.to_frame()}, notes=(note,))
    chosen = choose_samples(inputs, max(POOL, config.images))
    shown: dict[str, _Shown] = {}
    notes: list[str] = []
    for number, language in enumerate(inputs.languages):
        pairs, reasons = find_pairs(inputs, plan.loaded, chosen.rows, language)
        notes += [f"{count} test {inputs.counted} left out: {reason}." for reason, count in sorted(reasons.items())]
        if pairs:
            shown[language] = _show(inputs, plan, pairs, config.max_new_tokens)
        inputs.progress(number + 1, len(inputs.languages))
    if not shown:
        return Result(tables={"gallery": GALLERY.to_frame()}, notes=(*notes, "No captions to compare."))
    if inputs.images is None:
        notes.append("Text only: the model continues each sample's text; there are no maps.")
    captions = pl.concat([part.captions for part in shown.values()])
    by_image = changes_by_image(captions)
    tables = {
        "gallery": _gallery(inputs, shown, config.images, turned(by_image)),
        "captions": captions,
        "changes": gender_changes(by_image),
        "differences": differences(by_image, inputs.units, inputs.seed),
    }
    silent = [language for language in shown if language not in tables["changes"]["language"]]
    notes += [
        f"{LANGUAGE_NAMES[language]}: no generated caption speaks of one gender, so no change can be counted."
        for language in silent
    ]
    dose = ", ".join(f"{LANGUAGE_NAMES[language]} {part.dose:g}" for language, part in shown.items())
    notes.append(f"Amplified at dose {dose} (99.5th percentiles), toward the gender the caption does not have.")
    metrics = {f"{row['language']}.{row['condition']}.changed": row["rate"] for row in tables["changes"].to_dicts()}
    found = inputs.beside_planted(estimates(tables, inputs, config.layer, _done(shown, len(plan.features))), "word")
    return Result(metrics, tables, {"changes": "Captions whose gender changes"}, tuple(notes), found)


def _done(shown: Mapping[str, _Shown], features: int) -> dict[tuple[str, str], str]:
    """What was done, in words, by language and condition."""
    done = {}
    for language, part in shown.items():
        done[language, "ablated"] = f"{features} features set to zero at every position"
        done[language, "amplified"] = f"{features} features added at dose {part.dose:g}, toward the other gender"
    return done


def _plan(inputs: AnalysisInputs, config: Config) -> _Plan | None:
    opened = inputs.open_layer(config.layer)
    features = tuple(opened.ranking.strongest()[: config.features])
    if not features:
        return None
    random = matched_controls(opened, features, config.random_sets, inputs.seed).draws
    vector = feature_vector(opened, features, opened.ranking.signs(features))
    vectors = tuple(_as_long(feature_vector(opened, one, opened.ranking.signs(one)), vector) for one in random)
    loaded = inputs.open_model()
    return _Plan(loaded, opened, features, random, vector, vectors, word_ends(loaded))


def _as_long(vector: Tensor, other: Tensor) -> Tensor:
    """`vector` scaled to the length of `other`."""
    scaled: Tensor = vector * (other.norm() / vector.norm().clamp(min=1e-30))
    return scaled


def _show(inputs: AnalysisInputs, plan: _Plan, pairs: Sequence[MinimalPair], most: int) -> _Shown:
    """Effects, generated captions and heat strips of one language's pairs."""
    layer = plan.opened.layer
    runs = PairRuns(plan.loaded, pairs, plan.ends)
    sites = runs.sites(plan.opened)
    ablation = Ablation(plan.features)
    before = runs.log_odds(layer, [site.stream for site in sites])
    effect = np.array([pair.sign for pair in pairs]) * (runs.patched(layer, sites, ablation) - before)
    dose = next((d for d in DOSES if relative_norms(sites, Steering(plan.toward_female * d).delta) <= 1), DOSES[-1])
    prompts = [prompt_of(inputs, plan.loaded, pair) for pair in pairs]
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


def _captions(
    plan: _Plan, pairs: Sequence[MinimalPair], prompts: Sequence[EncodedSample], dose: float, most: int
) -> dict[str, list[Any]]:
    """Generated captions by condition, in the pairs' order; of the random sets a list each, empty without any set."""
    everyone = range(len(pairs))

    def texts_of(patch: Ablation | Steering | None, which: Sequence[int]) -> dict[int, str]:
        texts = written(plan.loaded, plan.opened, [prompts[i] for i in which], most, patch)
        return dict(zip(which, texts, strict=True))

    clean = texts_of(None, everyone)
    away = [away_from(clean[i], pairs[i].caption.language, pairs[i].sign) for i in everyone]

    def steered(vector: Tensor) -> dict[int, str]:
        texts: dict[int, str] = {}
        for sign in (1, -1):
            which = [index for index in everyone if away[index] == sign]
            texts |= texts_of(Steering(vector * (sign * dose)), which)
        return texts

    ablated, amplified = texts_of(Ablation(plan.features), everyone), steered(plan.toward_female)
    random = [texts_of(Ablation(one), everyone) for one in plan.random]
    added = [steered(vector) for vector in plan.random_vectors]
    return {
        **{
            name: [texts[i] for i in everyone] for name, texts in zip(_CHOSEN, (clean, ablated, amplified), strict=True)
        },
        "random": [[texts[i] for texts in random] for i in everyone],
        "random_amplified": [[texts[i] for texts in added] for i in everyone],
    }


_CHOSEN = ("clean", "ablated", "amplified")


def _gallery(inputs: AnalysisInputs, shown: Mapping[str, _Shown], count: int, changed: Collection[str]) -> pl.DataFrame:
    """The images picked by their mean effect over languages, one row per language."""
    joined = pl.concat([part.captions.select("image_id", "effect") for part in shown.values()])
    means = joined.group_by("image_id", maintain_order=True).agg(pl.col("effect").mean())
    rules = pick_images(dict(means.iter_rows()), count, changed)
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
