"""Effect against KL: the features taken out by dose, and their effect where they disturb other words as random sets do.

A ratio of effect to KL explodes where either is small. At the KL of the control two sets of features are compared as
they cost the same.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.ablation.measures import Measured
from core.causal.resampling import Resampling
from core.stats.intervals import weights

DOSES = (0.5, 1.0, 2.0, 4.0, 8.0)
CURVE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "set": pl.String,
        "draw": pl.Int64,
        "dose": pl.Float64,
        "images": pl.UInt32,
        **dict.fromkeys(("kl", "kl_low", "kl_high", "effect", "low", "high", "relative_norm"), pl.Float64),
    }
)
"""One row per layer, language and dose of the chosen features (`draw` −1), and one per random set at dose 1."""
AT_CONTROL = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "images": pl.UInt32,
        "kl": pl.Float64,
        "reached": pl.Boolean,
        **dict.fromkeys(("dose", "effect", "low", "high", "control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
    }
)
"""One row per layer and language: the features' effect at the random sets' mean KL (`kl`). Where the largest dose has
less KL (`reached` is false), it is the effect at that dose, which has cost less."""
CHOSEN, RANDOM = "chosen features", "random features"


def curve_tables(
    layer: int, dosed: Sequence[pl.DataFrame], measured: Sequence[Measured], resampling: Resampling
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `CURVE` and `AT_CONTROL` of one layer, language by language.

    Args:
        layer: the layer.
        dosed: `LanguageRuns.dosed`, by language.
        measured: the same languages' ablations and random sets.
        resampling: of the pairs measured.
    """
    curves, compared = [CURVE.to_frame()], [AT_CONTROL.to_frame()]
    for doses, part in zip(dosed, measured, strict=True):
        language = str(doses["language"][0])
        by_image = doses.group_by("dose", "image_id", maintain_order=True).agg(
            pl.col("effect").mean(), pl.col("kl").fill_nan(None).mean(), pl.col("relative_norm").first()
        )
        points = _random_points(part)
        place = {"layer": layer, "language": language}
        curves.append(_curve(place, by_image, resampling))
        curves.append(pl.DataFrame([place | point for point in points.rows(named=True)], schema=CURVE))
        compared.append(_at_control(place, by_image, points, resampling))
    return pl.concat(curves), pl.concat(compared)


def _random_points(part: Measured) -> pl.DataFrame:
    """KL and effect of the random sets whose KL was measured, at dose 1."""
    keys = ["draw", "image_id"]
    random = part.divergence.filter(kind="random").with_columns(pl.col("kl").fill_nan(None))
    kl = random.group_by(keys, maintain_order=True).agg(pl.col("kl").mean()).group_by("draw").agg(pl.col("kl").mean())
    drawn = part.draws.group_by(keys, maintain_order=True).agg(pl.col("effect").mean())
    effect = drawn.group_by("draw").agg(pl.col("effect").mean(), pl.len().alias("images"))
    joined = kl.join(effect, on="draw").sort("draw")
    return joined.select("draw", "kl", "effect", "images", pl.lit(RANDOM).alias("set"), pl.lit(1.0).alias("dose"))


def _curve(place: dict[str, Any], by_image: pl.DataFrame, resampling: Resampling) -> pl.DataFrame:
    rows = []
    for (dose,), cell in by_image.group_by("dose", maintain_order=True):
        images, language = cell["image_id"].to_list(), place["language"]
        effect = resampling.mean(cell["effect"].to_numpy(), images, language)
        apart = replace(resampling, pairs={})  # captions differ, whatever stands before their first word
        kl = apart.mean(cell["kl"].cast(pl.Float64).fill_null(math.nan).to_numpy(), images)
        found = {"kl": kl.mean, "kl_low": kl.low, "kl_high": kl.high}
        found |= {"effect": effect.mean, "low": effect.low, "high": effect.high}
        norm = {"relative_norm": cell["relative_norm"][0], "images": cell.height}
        rows.append(place | {"set": CHOSEN, "draw": -1, "dose": dose} | norm | found)
    return pl.DataFrame(rows, schema=CURVE)


def _at_control(
    place: dict[str, Any], by_image: pl.DataFrame, points: pl.DataFrame, resampling: Resampling
) -> pl.DataFrame:
    if points.is_empty():
        return AT_CONTROL.to_frame()
    effects, kls = (by_image.pivot("dose", index="image_id", values=name).drop_nulls() for name in ("effect", "kl"))
    both = effects.join(kls, on="image_id", suffix="_kl", maintain_order="left").drop_nulls()
    images = both["image_id"].to_list()
    doses = np.array([0.0, *by_image["dose"].unique(maintain_order=True)])
    count, target = len(doses) - 1, float(points["kl"].mean())  # type: ignore[arg-type]
    values = both.drop("image_id").to_numpy()
    units = resampling.units(images, place["language"])
    nested = resampling.drawn(images, place["language"])
    drawn = weights(len(images), resampling.bootstrap, resampling.inputs.seed, nested) / 1.0
    means = np.concatenate([values.mean(axis=0)[None], (drawn @ values) / drawn.sum(axis=1)[:, None]])
    found = np.array([effect_at(target, doses, row[:count], row[count:]) for row in means])
    low, high = np.quantile(found[1:, 0], [0.025, 0.975]) if np.unique(units).size > 1 else (math.nan, math.nan)
    random = points["effect"].to_numpy()
    spread = np.quantile(random, [0.025, 0.975])
    row = {"images": len(images), "kl": target, "reached": bool(found[0, 2]), "dose": found[0, 1]}
    row |= {"effect": found[0, 0], "low": float(low), "high": float(high), "draws": random.size}
    row |= {"control": float(random.mean()), "control_low": float(spread[0]), "control_high": float(spread[1])}
    return pl.DataFrame([place | row], schema=AT_CONTROL)


def effect_at(
    target: float, doses: Float[np.ndarray, " K1"], effects: Float[np.ndarray, " K"], kls: Float[np.ndarray, " K"]
) -> tuple[float, float, bool]:
    """Effect and dose at which KL first reaches `target`, linear between doses, and whether it does.

    Args:
        target: nats per token.
        doses: ascending from 0, where effect and KL are 0.
        effects: at the doses above 0.
        kls: likewise.
    """
    curve, shift = np.array([0.0, *kls]), np.array([0.0, *effects])
    beyond = np.flatnonzero(curve >= target)
    if not beyond.size:
        return float(shift[-1]), float(doses[-1]), False
    upper = int(beyond[0])
    if upper == 0:
        return 0.0, 0.0, True
    lower = upper - 1
    share = (target - curve[lower]) / (curve[upper] - curve[lower])
    between = (values[lower] + share * (values[upper] - values[lower]) for values in (shift, doses))
    effect, dose = map(float, between)
    return effect, dose, True
