"""How often the first side's word is the likelier at one dose, which the selection split chooses."""

import math
from dataclasses import replace

import numpy as np
import polars as pl

from core.analysis.amplification.dose_response import AGAINST, by_image
from core.causal.resampling import Resampling
from core.causal.steering import FEATURES
from core.data.concept import Concept
from core.stats.families import corrected_within


def rates_schema(concept: Concept) -> pl.Schema:
    """One row per language: the rate of the first side's word at the dose, under its name."""
    numbers = (f"{concept.sides[0]}_rate", "clean_rate", "change", "low", "high")
    return pl.Schema(
        {
            "layer": pl.UInt16,
            "language": pl.String,
            "dose": pl.Float64,
            "images": pl.UInt32,
            "units": pl.UInt32,
            **dict.fromkeys(numbers, pl.Float64),
            **AGAINST,
            **dict.fromkeys(("cost", "cost_low", "cost_high", "relative_norm"), pl.Float64),
        }
    )


def chosen_dose(found: pl.DataFrame) -> float | None:
    """The dose upward of the highest rate of the first side's word, of those in range; the least wins a tie.

    `found` are responses by caption on the selection split, so that no test image takes part in the choice. Null where
    no dose upward is in range (‖Δx‖ below ‖x‖).
    """
    usable = by_image(found).filter((pl.col("vector") == FEATURES) & (pl.col("dose") > 0))
    rates = usable.group_by("dose").agg(pl.col("first_side").mean(), pl.col("relative_norm").max())
    inside = rates.filter(pl.col("relative_norm") <= 1).sort("first_side", "dose", descending=[True, False])
    return float(inside["dose"][0]) if inside.height else None


def rate_at(
    layer: int, found: pl.DataFrame, clean: pl.DataFrame, random: pl.DataFrame, resampling: Resampling
) -> dict[str, object]:
    """The rate of the first side's word at a dose, its change from the clean run, the cost elsewhere (`rates_schema`).

    Args:
        layer: layer steered.
        found: one language's responses by caption at one dose.
        clean: the same at dose 0.
        random: those of random vectors at the dose, with `draw`.
        resampling: draws and units.
    """
    steered, before = by_image(found), by_image(clean)
    images, language = steered["image_id"].to_list(), str(found["language"][0])
    paired = steered.join(before, on="image_id", how="left", suffix="_clean", maintain_order="left")
    change = (paired["first_side"] - paired["first_side_clean"]).to_numpy()
    extra = (paired["caption_ce"] - paired["caption_ce_clean"]).fill_null(math.nan).to_numpy()
    moved, cost = resampling.mean(change, images, language), replace(resampling, pairs={}).mean(extra, images)
    drawn = _changes(random, before)
    return {
        "layer": layer,
        "language": language,
        "dose": found["dose"][0],
        "images": len(images),
        "units": np.unique(resampling.units(images, language)).size,
        f"{resampling.inputs.concept.sides[0]}_rate": float(paired["first_side"].to_numpy().mean()),
        "clean_rate": float(paired["first_side_clean"].to_numpy().mean()),
        "change": moved.mean,
        "low": moved.low,
        "high": moved.high,
        **resampling.against(change, drawn, images, language),
        "cost": cost.mean,
        "cost_low": cost.low,
        "cost_high": cost.high,
        "relative_norm": float(steered["relative_norm"][0]),
    }


def _changes(random: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Each random vector's change of the rate, by image: draw, image_id, value."""
    first = (pl.col("log_odds") > 0).cast(pl.Float64).mean().alias("first_side")
    means = random.group_by("draw", "image_id", maintain_order=True).agg(first)
    joined = means.join(
        before.select("image_id", pl.col("first_side").alias("clean")), on="image_id", maintain_order="left"
    )
    return joined.select("draw", "image_id", (pl.col("first_side") - pl.col("clean")).alias("value"))


def corrected(rates: pl.DataFrame) -> pl.DataFrame:
    """With q over languages."""
    return corrected_within(rates, pl.lit(True)).select(rates.columns)
