"""From interactions by caption to means over images: pair by pair, and over all pairs of the chosen features."""

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
"""One row per language and pair of chosen features, beside the pair at the same place of every random set. Only the
first pair of a language, that of the two highest-ranked features, is tested."""
OVERALL = pl.Schema(
    {
        "language": pl.String,
        "layer": pl.UInt16,
        **_COUNTED,
        **dict.fromkeys(("effect", "low", "high"), pl.Float64),
        **_CONTROL,
        "draws": pl.UInt32,
        **_P,
    }
)
"""One row per language: the mean interaction of the chosen pairs, beside that of every random set on the same
images."""


def pairs_table(shifts: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The table of pairs, q over the first pairs of the languages."""
    keys = ["language", "set", "place", "feature", "partner", "image_id"]
    means = shifts.group_by(keys, maintain_order=True).agg(pl.selectors.float().mean())
    rows = []
    for (language,), part in means.group_by("language", maintain_order=True):
        for (place,), cells in part.group_by("place", maintain_order=True):
            own = cells.filter(set=CHOSEN)
            row = own.select("language", "feature", "partner").row(0, named=True) | {"layer": layer}
            row |= {name: own[name].mean() for name in ("shift", "partner_shift", "both_shift")}
            found = _against(own, cells.filter(pl.col("set") > CHOSEN), resampling, str(language))
            row |= {"interaction" if name == "effect" else name: value for name, value in found.items()}
            rows.append(row if place == 0 else row | {"p": None})
    return corrected_within(pl.DataFrame(rows, schema=PAIRS), pl.lit(0))


def _against(own: pl.DataFrame, random: pl.DataFrame, resampling: Resampling, language: str) -> dict[str, Any]:
    """The mean interaction by image, with its interval, beside those of the random sets: one draw per set."""
    images, values = own["image_id"].to_list(), own["interaction"].to_numpy()
    found = resampling.mean(values, images, language)
    units = np.unique(resampling.units(images, language)).size
    row = {"images": len(images), "units": units, "effect": found.mean, "low": found.low, "high": found.high}
    drawn = random.select(pl.col("set").alias("draw"), "image_id", pl.col("interaction").alias("value"))
    return row | resampling.against(values, drawn, images, language)


def overall_table(shifts: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The means over all pairs of a set, q over languages."""
    means = shifts.group_by(["language", "set", "image_id"], maintain_order=True).agg(pl.col("interaction").mean())
    rows = []
    for (language,), part in means.group_by("language", maintain_order=True):
        found = _against(part.filter(set=CHOSEN), part.filter(pl.col("set") > CHOSEN), resampling, str(language))
        rows.append({"language": language, "layer": layer} | found)
    return corrected_within(pl.DataFrame(rows, schema=OVERALL), pl.lit(0))
