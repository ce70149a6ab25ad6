"""From interactions by caption to means over images: pair by pair, and over all pairs of the chosen features."""

import math
from typing import Any

import numpy as np
import polars as pl

from core.analysis.interactions.pairs import CHOSEN
from core.causal.resampling import Resampling
from core.stats.families import corrected_within

_COUNTED: dict[str, Any] = {"images": pl.UInt32, "units": pl.UInt32}
_CONTROL = dict.fromkeys(("control", "control_low", "control_high"), pl.Float64)
_P = {"p": pl.Float64, "q": pl.Float64}
PAIRS = pl.Schema(
    {
        "language": pl.String,
        "layer": pl.UInt16,
        "feature": pl.UInt32,
        "partner": pl.UInt32,
        **_COUNTED,
        **dict.fromkeys(("shift", "partner_shift", "both_shift", "interaction", "low", "high"), pl.Float64),
        **_CONTROL,
        "draws": pl.UInt32,
        **_P,
    }
)
"""One row a language and pair of chosen features, beside the interactions of all random pairs."""
OVERALL = pl.Schema(
    {
        "language": pl.String,
        "layer": pl.UInt16,
        **_COUNTED,
        **dict.fromkeys(("effect", "low", "high"), pl.Float64),
        **_CONTROL,
        "sets": pl.UInt32,
        **_P,
    }
)
"""One row a language: the mean interaction of the chosen pairs, beside that of the random ones on the same images."""


def pairs_table(shifts: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The table of pairs, q over pairs and languages."""
    keys = ["language", "set", "feature", "partner", "image_id"]
    means = shifts.group_by(keys, maintain_order=True).agg(pl.selectors.float().mean())
    rows = []
    for (language,), part in means.group_by("language", maintain_order=True):
        random = part.filter(pl.col("set") > CHOSEN)
        numbered = random.with_columns(pl.struct("set", "feature", "partner").rank("dense").alias("draw"))
        drawn = numbered.select("draw", "image_id", pl.col("interaction").alias("value"))
        chosen = part.filter(set=CHOSEN)
        for (feature, partner), cell in chosen.group_by("feature", "partner", maintain_order=True):
            place = {"language": language, "layer": layer, "feature": feature, "partner": partner}
            rows.append(place | _pair(cell, drawn, resampling, str(language)))
    return corrected_within(pl.DataFrame(rows, schema=PAIRS), pl.lit(0))


def _pair(cell: pl.DataFrame, drawn: pl.DataFrame, resampling: Resampling, language: str) -> dict[str, Any]:
    images, values = cell["image_id"].to_list(), cell["interaction"].to_numpy()
    found = resampling.mean(values, images, language)
    units = np.unique(resampling.units(images, language)).size
    shifts = {name: cell[name].mean() for name in ("shift", "partner_shift", "both_shift")}
    row = {"images": len(images), "units": units, "interaction": found.mean, "low": found.low, "high": found.high}
    return row | shifts | resampling.against(values, drawn, images, language)


def overall_table(shifts: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The means over all pairs, q over languages."""
    chosen = pl.col("set") == CHOSEN
    keys = ["language", "image_id"]
    means = shifts.group_by(keys, maintain_order=True).agg(
        pl.col("interaction").filter(chosen).mean().alias("own"),
        pl.col("interaction").filter(~chosen).mean().alias("random"),
        pl.col("set").filter(~chosen).n_unique().alias("sets"),
    )
    rows = []
    for (language,), part in means.group_by("language", maintain_order=True):
        random = part["random"].cast(pl.Float64).fill_null(math.nan).to_numpy()
        found = resampling.beside(part["own"].to_numpy(), random, part["image_id"].to_list(), str(language))
        rows.append({"language": language, "layer": layer, "sets": part["sets"].max()} | found)
    return corrected_within(pl.DataFrame(rows, schema=OVERALL), pl.lit(0))
