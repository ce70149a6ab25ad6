"""From responses by caption and dose to curves and slopes."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import optimize

from core.causal.resampling import Resampling
from core.causal.steering import FEATURES
from core.data.concept import Concept
from core.stats.families import corrected_within
from core.stats.intervals import wilson

AGAINST = {
    "control": pl.Float64,
    "control_low": pl.Float64,
    "control_high": pl.Float64,
    "draws": pl.UInt32,
    "p": pl.Float64,
    "q": pl.Float64,
}
SLOPES = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "vector": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "slope": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "isotonic_r2": pl.Float64,
        **AGAINST,
    }
)


def response_schema(concept: Concept) -> pl.Schema:
    """One row per language, vector and dose; the rate is that of captions whose likelier word is the first side's."""
    side = concept.sides[0]
    return pl.Schema(
        {
            "layer": pl.UInt16,
            "language": pl.String,
            "vector": pl.String,
            "dose": pl.Float64,
            "images": pl.UInt32,
            "log_odds": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
            **dict.fromkeys((f"{side}_{name}" for name in ("rate", "low", "high")), pl.Float64),
            "caption_ce": pl.Float64,
            "relative_norm": pl.Float64,
            "out_of_range": pl.Boolean,
        }
    )


def by_image(found: pl.DataFrame) -> pl.DataFrame:
    """Responses averaged over an image's captions: log_odds, first_side (the share of its captions whose likelier
    word is that of the first side), caption_ce, relative_norm."""
    keys = ["language", "vector", "dose", "image_id"]
    first = (pl.col("log_odds") > 0).cast(pl.Float64).mean().alias("first_side")
    means = (pl.col("log_odds").mean(), first, pl.col("caption_ce").fill_nan(None).mean())
    return found.group_by(keys, maintain_order=True).agg(*means, pl.col("relative_norm").first())


def summarise_responses(layer: int, found: pl.DataFrame, resampling: Resampling) -> pl.DataFrame:
    """Means over images with their intervals, one row per language, vector and dose (`response_schema`)."""
    rows, side = [], resampling.inputs.concept.sides[0]
    for (language, vector, dose), part in by_image(found).group_by(["language", "vector", "dose"], maintain_order=True):
        mean = resampling.mean(part["log_odds"].to_numpy(), part["image_id"].to_list(), str(language))
        first = part["first_side"].to_numpy()
        rate = wilson(round(float(first.sum())), first.size)
        norm = float(part["relative_norm"][0])
        row = {
            "layer": layer,
            "language": language,
            "vector": vector,
            "dose": dose,
            "images": part.height,
            "log_odds": mean.mean,
            "low": mean.low,
            "high": mean.high,
            f"{side}_rate": float(first.mean()),
            f"{side}_low": rate.low,
            f"{side}_high": rate.high,
            "caption_ce": part["caption_ce"].mean(),
            "relative_norm": norm,
            "out_of_range": norm > 1,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema=response_schema(resampling.inputs.concept))


def summarise_slopes(layer: int, found: pl.DataFrame, random: pl.DataFrame, resampling: Resampling) -> pl.DataFrame:
    """Slopes at dose 0 with their intervals and random controls, one row per language and vector (`SLOPES`).

    `found` are responses by caption, `random` slopes by caption: language, draw, image_id, slope.
    """
    rows = []
    for (language, vector), part in by_image(found).group_by(["language", "vector"], maintain_order=True):
        wide = part.pivot("dose", index="image_id", values="log_odds", maintain_order=True)
        images = wide["image_id"].to_list()
        doses = np.array([float(name) for name in wide.columns[1:]])
        odds = wide.drop("image_id").to_numpy()
        slopes = slopes_at_zero(doses, odds)
        slope = resampling.mean(slopes, images, str(language))
        row = {
            "layer": layer,
            "language": language,
            "vector": vector,
            "images": wide.height,
            "units": np.unique(resampling.units(images, str(language))).size,
            "slope": slope.mean,
            "low": slope.low,
            "high": slope.high,
            "isotonic_r2": isotonic_r2(doses, odds),
        }
        drawn = random.filter(pl.col("language") == language).group_by("draw", "image_id", maintain_order=True)
        row |= resampling.against(slopes, drawn.agg(pl.col("slope").mean().alias("value")), images, str(language))
        rows.append(row)
    return pl.DataFrame(rows, schema=SLOPES)


def corrected(slopes: pl.DataFrame) -> pl.DataFrame:
    """With q over layers and languages; each vector is a family of its own."""
    return corrected_within(slopes, pl.col("vector"))


def slopes_at_zero(doses: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Each image's slope at dose 0, by least squares over `near_zero` doses: random sets' slopes are taken there too.

    Args:
        doses: the doses, [S].
        odds: log odds by image and dose, [N, S].
    """
    near = np.isin(doses, near_zero(doses.tolist()))
    centred = doses[near] - doses[near].mean()
    return np.asarray(odds[:, near] @ centred / (centred**2).sum())


def near_zero(doses: Sequence[float]) -> tuple[float, float]:
    """The smallest dose downward and the smallest upward; a study always has both."""
    return (max(dose for dose in doses if dose < 0), min(dose for dose in doses if dose > 0))


def isotonic_r2(doses: np.ndarray, odds: np.ndarray) -> float:
    """Share of the within-image variance over doses that one rising curve explains, [S] and [N, S]; NaN without any."""
    order = np.argsort(doses)
    centred = odds[:, order] - odds.mean(axis=1, keepdims=True)
    total = float((centred**2).sum())
    if total == 0:
        return math.nan
    # With as many images at every dose, the pooled isotonic fit is the fit to the means.
    fitted = optimize.isotonic_regression(centred.mean(axis=0)).x
    return 1 - float(((centred - fitted) ** 2).sum()) / total


def metrics(slopes: pl.DataFrame) -> dict[str, float]:
    """The slopes as flat numbers for MLflow."""
    flat = {}
    for row in slopes.filter(pl.col("vector") == FEATURES).rows(named=True):
        for name in ("slope", "control", "p", "isotonic_r2"):
            if row[name] is not None and math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['language']}.{name}"] = float(row[name])
    return flat
