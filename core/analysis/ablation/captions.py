"""Captions that the model writes under the ablation: how many change sides, and what is left of their quality.

Quality is the cross-entropy of a caption's words that tell no side, under the model as it is, less that of the caption
written without the ablation. The same is measured under some of the matched random sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.ablation.measures import Target
from core.causal.interventions import Ablation
from core.causal.pairs import MinimalPair
from core.causal.resampling import Resampling
from core.causal.rewritten import Rewriter
from core.causal.written import clean_costs, is_turned, told_side
from core.features.inputs import AnalysisInputs
from core.stats.families import corrected_within
from core.stats.intervals import wilson

SETS = 39
"""Random sets under which captions are written, at most: the least at which one of two languages has q ≤ 0.05."""
TOKENS = 40
"""Length at which a caption is cut."""
CHANGED, ENTROPY = "changed", "cross-entropy"
SHOWN = {"captions": "Captions written under the ablation"}
CAPTIONS = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "measure"), pl.String),
        **dict.fromkeys(("images", "units"), pl.UInt32),
        **dict.fromkeys(("clean", "ablated", "effect", "low", "high"), pl.Float64),
        **dict.fromkeys(("control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q"), pl.Float64),
    }
)
"""One row per language and measure. changed: `effect` is the rate of captions that tell the other side than the clean
one, of those whose clean one tells one side (Wilson interval). cross-entropy: that of the words that tell no side under
the clean model, of captions written without (`clean`) and with the ablation (`ablated`), and their difference."""
WRITTEN = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "image_id", "sample_id", "condition"), pl.String),
        "draw": pl.Int64,
        "text": pl.String,
        "changed": pl.Float64,
        "entropy": pl.Float64,
    }
)
"""Every caption written; `condition` is clean, ablated or random, and `draw` the random set's number."""


@dataclass(frozen=True)
class Captioned:
    """One language's pairs, whose prompts the model continues, at one layer."""

    inputs: AnalysisInputs
    target: Target
    language: str
    pairs: Sequence[MinimalPair]

    def written(self) -> pl.DataFrame:
        """Captions of every condition: columns of `WRITTEN`."""
        writer = Rewriter(self.inputs, self.target.view, self.pairs, TOKENS)
        sets = [self.target.features, *self.target.control.draws[:SETS]]
        texts = [writer.clean, *writer.under([Ablation(features) for features in sets])]
        every = [text for some in texts for text in some]
        costs = clean_costs(self.inputs, self.inputs.open_model(), writer.prompts * len(texts), every)
        count, drawn = len(self.pairs), len(sets) - 1
        columns = {
            "layer": [self.target.layer] * len(every),
            "language": [self.language] * len(every),
            "image_id": [pair.image_id for pair in self.pairs] * len(texts),
            "sample_id": [pair.sample_id for pair in self.pairs] * len(texts),
            "condition": ["clean"] * count + ["ablated"] * count + ["random"] * (count * drawn),
            "draw": [-1] * (2 * count) + [draw for draw in range(drawn) for _ in self.pairs],
            "text": every,
            "changed": [value for some in texts for value in self._changed(writer.clean, some)],
            "entropy": [cost.other for cost in costs],
        }
        return pl.DataFrame(columns, schema=WRITTEN)

    def _changed(self, clean: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        concept, language = self.inputs.concept, self.language
        before = [told_side(concept, text, language) for text in clean]
        return [
            None if side is None else float(is_turned(concept, side, text, language))
            for side, text in zip(before, texts, strict=True)
        ]


def caption_summary(written: pl.DataFrame, resampling: Resampling) -> pl.DataFrame:
    """One row per language and measure, with q over languages."""
    alone = replace(resampling, pairs={})  # captions are written from the picture alone
    rows = []
    for (language,), own in written.group_by("language", maintain_order=True):
        rows += [_row(own, str(language), measure, alone) for measure in (CHANGED, ENTROPY)]
    kept = [row for row in rows if row is not None]
    return corrected_within(pl.DataFrame(kept, schema=CAPTIONS), pl.col("measure"))


def _row(own: pl.DataFrame, language: str, measure: str, resampling: Resampling) -> dict[str, Any] | None:
    """One measure's row; null where no image has it in every condition."""
    column = "changed" if measure == CHANGED else "entropy"
    named = pl.format("{} {}", "condition", "draw")
    wide = own.with_columns(named.alias("run")).pivot("run", index="image_id", values=column, aggregate_function="mean")
    known = wide.fill_nan(None).drop_nulls()
    if known.is_empty():
        return None
    images, clean, ablated = known["image_id"].to_list(), known["clean -1"].to_numpy(), known["ablated -1"].to_numpy()
    before = np.zeros_like(clean) if measure == CHANGED else clean
    drawn = known.drop("clean -1", "ablated -1").unpivot(index="image_id", variable_name="draw")
    random = drawn.join(pl.DataFrame({"image_id": images, "before": before}), on="image_id", maintain_order="left")
    shift = ablated - before
    row = {"layer": own["layer"][0], "language": language, "measure": measure, "images": known.height}
    row |= {"units": np.unique(resampling.units(images)).size, "ablated": ablated.mean()}
    row |= {} if measure == CHANGED else {"clean": clean.mean()}
    row |= _interval(shift, images, measure, resampling)
    against = random.select("draw", "image_id", (pl.col("value") - pl.col("before")).alias("value"))
    return row | resampling.against(shift, against, images)


def _interval(
    shift: Float[np.ndarray, " n"], images: Sequence[str], measure: str, resampling: Resampling
) -> dict[str, float]:
    if measure == CHANGED:
        rate = wilson(float(shift.sum()), len(images))
        return {"effect": rate.mean, "low": rate.low, "high": rate.high}
    found = resampling.mean(shift, images)
    return {"effect": found.mean, "low": found.low, "high": found.high}
