"""From responses by image and dose to curves, slopes and sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import optimize

from core.causal.steering import FEATURES
from core.stats.intervals import bootstrap_mean, permutation_p, wilson
from core.stats.picking import of_layers, picked_layer

RESPONSE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "vector": pl.String,
        "dose": pl.Float64,
        "images": pl.UInt32,
        "log_odds": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "female_rate": pl.Float64,
        "female_low": pl.Float64,
        "female_high": pl.Float64,
        "caption_ce": pl.Float64,
        "relative_norm": pl.Float64,
        "out_of_range": pl.Boolean,
    }
)
SLOPES = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "vector": pl.String,
        "images": pl.UInt32,
        "slope": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "isotonic_r2": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
        "p": pl.Float64,
    }
)


def summarise_responses(layer: int, found: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """Means over images with their intervals, one row a language, vector and dose (`RESPONSE`)."""
    rows = []
    for (language, vector, dose), part in found.group_by(["language", "vector", "dose"], maintain_order=True):
        odds = part["log_odds"].to_numpy()
        mean, rate = bootstrap_mean(odds, draws, seed), wilson(int((odds > 0).sum()), odds.size)
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
            "female_rate": rate.mean,
            "female_low": rate.low,
            "female_high": rate.high,
            "caption_ce": part["caption_ce"].fill_nan(None).mean(),
            "relative_norm": norm,
            "out_of_range": norm > 1,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema=RESPONSE)


def summarise_slopes(layer: int, found: pl.DataFrame, random: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """Slopes at dose 0 with their intervals and random controls, one row a language and vector (`SLOPES`)."""
    rows = []
    for (language, vector), part in found.group_by(["language", "vector"], maintain_order=True):
        wide = part.pivot("dose", index="image_id", values="log_odds", maintain_order=True)
        doses = np.array([float(name) for name in wide.columns[1:]])
        odds = wide.drop("image_id").to_numpy()
        slope = bootstrap_mean(slopes_at_zero(doses, odds), draws, seed)
        row = {
            "layer": layer,
            "language": language,
            "vector": vector,
            "images": wide.height,
            "slope": slope.mean,
            "low": slope.low,
            "high": slope.high,
            "isotonic_r2": isotonic_r2(doses, odds),
        }
        drawn = random.filter(pl.col("language") == language).group_by("draw").agg(pl.col("slope").mean())
        if drawn.height:
            means = drawn.sort("draw")["slope"].to_numpy()
            low, high = np.quantile(means, [0.025, 0.975])
            p = permutation_p(abs(slope.mean), np.abs(means))  # random sets have no side of their own
            row |= {"control": means.mean(), "control_low": low, "control_high": high, "draws": means.size, "p": p}
        rows.append(row)
    return pl.DataFrame(rows, schema=SLOPES)


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


def headlines(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Slopes, and the rate at the largest dose in range, at the layer that the selection split picks."""
    layer = picked_layer(tables["features"])
    picked = f"{layer} {of_layers(tables['features']['layer'].n_unique(), 'gender')}".strip()
    own = tables["slopes"].filter((pl.col("vector") == FEATURES) & (pl.col("layer") == layer))
    sentences = [_slope_sentence(row, tables["slopes"], picked) for row in own.rows(named=True)]
    usable = tables["response"].filter(
        (pl.col("vector") == FEATURES) & ~pl.col("out_of_range") & (pl.col("layer") == layer)
    )
    for _, part in usable.group_by("language", maintain_order=True):
        largest = part.sort("dose").row(-1, named=True)
        sentences += [_rate_sentence(largest, part)] if largest["dose"] > 0 else []
    return tuple(sentences)


def _slope_sentence(row: Mapping[str, Any], slopes: pl.DataFrame, picked: str) -> str:
    others = slopes.filter((pl.col("layer") == row["layer"]) & (pl.col("language") == row["language"]))
    control = "no random control could be drawn"
    if row["control"] is not None:
        span = f"{row['control']:.2f} [{row['control_low']:.2f}, {row['control_high']:.2f}]"
        control = f"{row['draws']} random sets of the same length: {span}, p = {row['p']:.2g}"
    compared = "".join(
        f"; {other['vector']}: {other['slope']:.2f}"
        for other in others.filter(pl.col("vector") != FEATURES).rows(named=True)
    )
    return (
        f"{row['language']}: steering layer {picked} moves log p(female)/p(male) of the gendered word by "
        f"{row['slope']:.2f} [{row['low']:.2f}, {row['high']:.2f}] nats a dose ({row['images']} test images, isotonic "
        f"R² {row['isotonic_r2']:.2f}; {control}{compared})."
    )


def _rate_sentence(row: Mapping[str, Any], same: pl.DataFrame) -> str:
    clean = same.filter(pl.col("dose") == 0)
    before = f" (dose 0: {clean['female_rate'][0]:.0%})" if clean.height else ""
    cost = f", at {row['caption_ce'] - clean['caption_ce'][0]:+.3f} nats a token elsewhere" if clean.height else ""
    return (
        f"{row['language']}: at dose {row['dose']:g}, the largest within range (‖Δx‖ below ‖x‖) at layer "
        f"{row['layer']}, the female word is the likelier on {row['female_rate']:.0%} [{row['female_low']:.0%}, "
        f"{row['female_high']:.0%}] of images{before}{cost}."
    )


def metrics(slopes: pl.DataFrame) -> dict[str, float]:
    """The slopes as flat numbers for MLflow."""
    flat = {}
    for row in slopes.filter(pl.col("vector") == FEATURES).rows(named=True):
        for name in ("slope", "control", "p", "isotonic_r2"):
            if row[name] is not None and math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['language']}.{name}"] = float(row[name])
    return flat
