"""Asking for the first side by an instruction, beside steering toward it at the dose that the selection split chose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.amplification.dose_response import by_image
from core.analysis.amplification.fluency import CLEAN, Writer
from core.analysis.amplification.picked import Picked
from core.causal.pairs import find_pairs
from core.causal.steering import FEATURES, SteeringRuns
from core.causal.written import prompt_of, written
from core.lm.outcomes import word_ends
from core.stats.families import corrected_within
from core.stats.intervals import Interval
from core.stats.permuted import sign_flip_p

STEERING, PROMPTING, DIFFERENCE = "steering", "prompting", "steering less prompting"
SCORES = ("rate", "said", "cost")
_SCORED: dict[str, Any] = {f"{score}{end}": pl.Float64 for score in SCORES for end in ("", "_low", "_high", "_p", "_q")}
COMPARED = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "method", "how"), pl.String),
        **dict.fromkeys(("images", "units", "captions"), pl.UInt32),
        **_SCORED,
        **dict.fromkeys(("distinct_2", "repetition"), pl.Float64),
    }
)
"""One row per language and method: changes from the clean run of the share of images whose likelier word is the first
side's (`rate`), of the share of generated captions that speak of that side (`said`) and of their cross-entropy under
the clean model at words that tell no side (`cost`); `how`: the dose or the instruction. The third row is the difference
of the first two, with p by random signs of the units; q over languages and scores."""
Values = dict[str, tuple[list[str], Float[np.ndarray, " n"]]]


@dataclass(frozen=True)
class Asked:
    """One language's steering and prompting: changes by image of each score, and the captions (null: none)."""

    changes: Values
    captions: pl.DataFrame | None
    how: str


def compare(
    picked: Picked, instructions: Mapping[str, str], writing: Sequence[Writer], captions: pl.DataFrame | None
) -> tuple[pl.DataFrame, list[str]]:
    """The rows of `COMPARED`, and why a language has none.

    Args:
        picked: the reported layer.
        instructions: by language; they ask for the first side.
        writing: writers of captions by language, none where none are written.
        captions: rows of `written_schema`, null where none are written.
    """
    rows: list[dict[str, Any]] = []
    notes = []
    for part in picked.runs:
        instruction = instructions.get(part.language)
        if instruction is None:
            notes.append(f"{part.language}: no instruction asks for the other side; nothing is compared with steering.")
            continue
        own = None if captions is None else captions.filter(language=part.language)
        writer = next((one for one in writing if one.language == part.language), None)
        asked = _prompted(picked, part, instruction, writer, own)
        if asked is None:
            notes.append(f"{part.language}: no caption can be measured behind the instruction that asks for a side.")
            continue
        steered = _steered(picked, part, own)
        found = {PROMPTING: asked} if steered is None else {STEERING: steered, PROMPTING: asked}
        rows += _rows(picked, part.language, found)
    table = corrected(pl.DataFrame(rows, schema=COMPARED))
    return table, notes


def _prompted(
    picked: Picked, part: SteeringRuns, instruction: str, writer: Writer | None, captions: pl.DataFrame | None
) -> Asked | None:
    """What the instruction does, without any patch."""
    loaded = picked.inputs.open_model()
    inputs = replace(picked.inputs, instructions={**picked.inputs.instructions, part.language: instruction})
    samples = {pair.sample_id for pair in part.pairs}
    chosen = inputs.samples.filter(pl.col("sample_id").is_in(samples)).sort("image_id", "sample_id")
    pairs, _ = find_pairs(inputs, loaded, chosen, part.language)
    if not pairs:
        return None
    runs = SteeringRuns(loaded, part.language, pairs, word_ends(loaded))
    vectors = {FEATURES: picked.steer.vectors[FEATURES]}
    before, after = (one.respond_briefly(picked.opened, vectors, [0.0]) for one in (part, runs))
    changes = {"rate": _change(by_image(after), by_image(before), "first_side")}
    if writer is None or captions is None:
        return Asked(changes, None, instruction)
    own = {pair.image_id: pair for pair in reversed(pairs)}
    prompts = [prompt_of(inputs, loaded, own[one.image_id]) for one in writer.prompts if one.image_id in own]
    behind = replace(writer, prompts=prompts)
    texts = behind.measured([(PROMPTING, 0.0)], written(loaded, picked.opened, prompts, writer.most))
    return Asked(changes | _spoken(texts, captions, inputs.concept.sides[0]), texts, instruction)


def _steered(picked: Picked, part: SteeringRuns, captions: pl.DataFrame | None) -> Asked | None:
    """The features' vector at the chosen dose; null where no dose is in range."""
    dose = picked.doses.get(part.language)
    if dose is None:
        return None
    own = by_image(picked.responses.filter(language=part.language, vector=FEATURES))
    vectors = {FEATURES: picked.steer.vectors[FEATURES]}
    before = by_image(part.respond_briefly(picked.opened, vectors, [0.0]))
    changes = {"rate": _change(own.filter(dose=dose), before, "first_side")}
    texts = None if captions is None else captions.filter(vector=FEATURES, dose=dose)
    if captions is not None and texts is not None:
        changes |= _spoken(texts, captions, picked.inputs.concept.sides[0])
    return Asked(changes, texts, f"dose {dose:g}")


def _spoken(texts: pl.DataFrame, captions: pl.DataFrame, side: str) -> Values:
    clean = captions.filter(vector=CLEAN)
    return {"said": _change(texts, clean, side), "cost": _change(texts, clean, "ce_other")}


def _change(after: pl.DataFrame, before: pl.DataFrame, column: str) -> tuple[list[str], Float[np.ndarray, " n"]]:
    """By image; NaN where either has no value."""
    joined = after.join(before, on="image_id", how="inner", suffix="_before", maintain_order="left")
    values = joined.select(pl.col(column) - pl.col(f"{column}_before")).to_series().cast(pl.Float64)
    return joined["image_id"].to_list(), values.fill_null(math.nan).to_numpy()


def _rows(picked: Picked, language: str, found: Mapping[str, Asked]) -> list[dict[str, Any]]:
    rows = []
    for method, asked in found.items():
        texts = asked.captions
        row: dict[str, Any] = {"method": method, "how": asked.how, "captions": 0 if texts is None else texts.height}
        if texts is not None:
            row |= {name: texts[name].fill_nan(None).mean() for name in ("distinct_2", "repetition")}
        rows.append(row | _scored(picked, language, asked.changes))
    if len(found) == 2:
        one, other = found[STEERING], found[PROMPTING]
        apart = {score: _less(one.changes[score], other.changes[score]) for score in one.changes}
        how = f"{one.how}, against the instruction"
        captions = 0 if one.captions is None else one.captions.height
        row = {"method": DIFFERENCE, "how": how, "captions": captions}
        rows.append(row | _scored(picked, language, apart) | _tested(picked, language, apart))
    return [{"layer": picked.layer, "language": language, **row} for row in rows]


def _less(
    one: tuple[list[str], Float[np.ndarray, " n"]], other: tuple[list[str], Float[np.ndarray, " n"]]
) -> tuple[list[str], Float[np.ndarray, " n"]]:
    values = dict(zip(other[0], other[1].tolist(), strict=True))
    return one[0], one[1] - np.array([values.get(image, math.nan) for image in one[0]])


def _scored(picked: Picked, language: str, changes: Values) -> dict[str, Any]:
    images = changes["rate"][0]
    row: dict[str, Any] = {"images": len(images)}
    row["units"] = np.unique(picked.resampling.units(images, language)).size
    for score, (names, values) in changes.items():
        mean: Interval = (
            picked.resampling.mean(values, names, language)
            if score == "rate"
            else picked.by_caption.mean(values, names)
        )
        row |= {score: mean.mean, f"{score}_low": mean.low, f"{score}_high": mean.high}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _tested(picked: Picked, language: str, apart: Values) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for score, (names, values) in apart.items():
        resampling = picked.resampling if score == "rate" else picked.by_caption
        units = resampling.units(names, language if score == "rate" else None)
        p = sign_flip_p(values, resampling.bootstrap, picked.inputs.seed, units)
        found[f"{score}_p"] = None if math.isnan(p) else p
    return found


def corrected(table: pl.DataFrame) -> pl.DataFrame:
    """With q over languages and scores of the differences."""
    ps = table.with_row_index("row").unpivot(
        [f"{score}_p" for score in SCORES], index="row", variable_name="score", value_name="p"
    )
    q = corrected_within(ps, pl.lit(True)).with_columns(pl.col("score").str.replace("_p$", "_q"))
    wide = q.pivot("score", index="row", values="q", maintain_order=True).sort("row")
    found = table.with_columns(wide[f"{score}_q"] for score in SCORES) if table.height else table
    return found.select(COMPARED.names()).cast(COMPARED)
