"""How often the first side's word is the likelier at one dose, which the selection split chooses."""

import math
from dataclasses import replace

import numpy as np
import polars as pl

from core.analysis.amplification.dose_response import AGAINST, by_image
from core.causal.resampling import Resampling
from core.causal.steering import FEATURES
from core.stats.families import corrected_within

RATES = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "dose": pl.Float64,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "female_rate": pl.Float64,
        "clean_rate": pl.Float64,
        "change": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        **AGAINST,
        "cost": pl.Float64,
        "cost_low": pl.Float64,
        "cost_high": pl.Float64,
        "relative_norm": pl.Float64,
    }
)


def chosen_dose(found: pl.DataFrame) -> float | None:
    """The dose upward of the highest rate of the first side's word, of those in range; the least wins a tie.

    `found` are responses by caption on the selection split, so that no test image takes part in the choice. Null where
    no dose upward is in range (‖Δx‖ below ‖x‖).
    """
    usable = by_image(found).filter((pl.col("vector") == FEATURES) & (pl.col("dose") > 0))
    rates = usable.group_by("dose").agg(pl.col("female").mean(), pl.col("relative_norm").max())
    inside = rates.filter(pl.col("relative_norm") <= 1).sort("female", "dose", descending=[True, False])
    return float(inside["dose"][0]) if inside.height else None


def rate_at(
    layer: int, found: pl.DataFrame, clean: pl.DataFrame, random: pl.DataFrame, resampling: Resampling
) -> dict[str, object]:
    """The rate of the first side's word at a dose, its change from the clean run, and the cost elsewhere (`RATES`).

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
    change = (paired["female"] - paired["female_clean"]).to_numpy()
    extra = (paired["caption_ce"] - paired["caption_ce_clean"]).fill_null(math.nan).to_numpy()
    moved, cost = resampling.mean(change, images, language), replace(resampling, pairs={}).mean(extra, images)
    drawn = _changes(random, before)
    return {
        "layer": layer,
        "language": language,
        "dose": found["dose"][0],
        "images": len(images),
        "units": np.unique(resampling.units(images, language)).size,
        "female_rate": float(paired["female"].to_numpy().mean()),
        "clean_rate": float(paired["female_clean"].to_numpy().mean()),
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
    female = (pl.col("log_odds") > 0).cast(pl.Float64).mean().alias("female")
    means = random.group_by("draw", "image_id", maintain_order=True).agg(female)
    joined = means.join(
        before.select("image_id", pl.col("female").alias("clean")), on="image_id", maintain_order="left"
    )
    return joined.select("draw", "image_id", (pl.col("female") - pl.col("clean")).alias("value"))


def corrected(rates: pl.DataFrame) -> pl.DataFrame:
    """With q over languages."""
    return corrected_within(rates, pl.lit(True)).select(RATES.names())
