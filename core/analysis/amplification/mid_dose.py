"""A logistic curve of the rate over doses, and the dose half-way up it."""

import math
from typing import Any

import numpy as np
import polars as pl

from core.analysis.amplification.dose_response import by_image
from core.causal.resampling import Resampling
from core.stats.logistic import LEAST_DOSES, MiddleInterval, fit_logistic, middle_interval

MID_DOSE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "vector": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "doses": pl.UInt32,
        **dict.fromkeys(("lower", "upper", "steepness", "mid_dose", "low", "high", "r2"), pl.Float64),
        "resamples": pl.UInt32,
        "reason": pl.String,
    }
)
"""One row per language and vector: `doses` in range that the curve was fitted to, its parameters, the interval of the
mid-dose with the `resamples` that were fitted, and the `reason` where the curve was not fitted (empty where it was)."""


def mid_doses(layer: int, found: pl.DataFrame, resamples: int, resampling: Resampling) -> pl.DataFrame:
    """The curves of all vectors at one layer.

    Args:
        layer: the layer.
        found: responses by caption: language, vector, dose, image_id, log_odds, caption_ce, relative_norm.
        resamples: for the interval of the mid-dose.
        resampling: units and seed.
    """
    rows = [
        {"layer": layer, "language": language, "vector": vector, **_fitted(part, str(language), resamples, resampling)}
        for (language, vector), part in by_image(found).group_by(["language", "vector"], maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=MID_DOSE)


def _fitted(part: pl.DataFrame, language: str, resamples: int, resampling: Resampling) -> dict[str, Any]:
    inside = part.filter(pl.col("relative_norm") <= 1)
    wide = inside.pivot("dose", index="image_id", values="first_side", maintain_order=True)
    doses = np.array([float(name) for name in wide.columns[1:]])
    images, rates = wide["image_id"].to_list(), wide.drop("image_id").to_numpy()
    units = resampling.units(images, language)
    fit = fit_logistic(doses, rates.mean(axis=0) if doses.size >= LEAST_DOSES else np.zeros(doses.size))
    interval = MiddleInterval(math.nan, math.nan, 0)
    if not fit.reason:
        interval = middle_interval(doses, rates, resamples, resampling.inputs.seed, units)
    row: dict[str, Any] = {"images": len(images), "units": np.unique(units).size, "doses": doses.size}
    row |= {"lower": fit.lower, "upper": fit.upper, "steepness": fit.steepness, "mid_dose": fit.middle, "r2": fit.r2}
    row |= {"low": interval.low, "high": interval.high, "resamples": interval.fitted, "reason": fit.reason}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
