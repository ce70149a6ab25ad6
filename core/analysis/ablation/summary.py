"""From effects by caption to means over images with intervals, controls and shares of the ceiling."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from core.analysis.ablation.measures import SWAP_ALL, ZERO, Measured
from core.causal.resampling import Resampling
from core.stats.families import corrected_within

ALL = "all"
"""The language of rows in which an image's captions of all languages were averaged."""

EFFECTS = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "outcome": pl.String,
        "intervention": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "effect": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
        "p": pl.Float64,
        "q": pl.Float64,
        "share": pl.Float64,
        "share_low": pl.Float64,
        "share_high": pl.Float64,
    }
)
SPECIFICITY = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "images": pl.UInt32,
        "kl": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
    }
)


def summarise(layer: int, measured: Sequence[Measured], resampling: Resampling) -> pl.DataFrame:
    """One row per language, outcome and intervention; those over all languages, averaged by image, stand last."""
    effects = by_image(pl.concat([part.effects for part in measured]), ["outcome", "intervention"])
    draws = by_image(pl.concat([part.draws for part in measured]), ["draw"])
    rows, first = [], resampling.inputs.concept.positions.first
    keys = ["language", "outcome", "intervention"]
    for (language, outcome, intervention), part in effects.group_by(keys, maintain_order=True):
        images, spoken = part["image_id"].to_list(), None if language == ALL else str(language)
        found = resampling.mean(part["effect"].to_numpy(), images, spoken)
        row = {
            "layer": layer,
            "language": language,
            "outcome": outcome,
            "intervention": intervention,
            "images": part.height,
            "units": np.unique(resampling.units(images, spoken)).size,
            "effect": found.mean,
            "low": found.low,
            "high": found.high,
        }
        if outcome == first and intervention != SWAP_ALL:
            ceiling = effects.filter(language=language, outcome=first, intervention=SWAP_ALL)
            row |= _share(part, ceiling, resampling, spoken)
        if intervention == ZERO and outcome == first:
            drawn = draws.filter(language=language).rename({"effect": "value"})
            row |= resampling.against(part["effect"].to_numpy(), drawn, images, spoken)
        rows.append(row)
    return pl.DataFrame(rows, schema=EFFECTS)


def by_image(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Effects averaged over an image's captions in a language; below them rows of language `all`, each image's mean
    over the languages that it was measured in."""
    columns = ["language", *keys, "image_id", "effect"]
    own = frame.group_by(["language", *keys, "image_id"], maintain_order=True).agg(pl.col("effect").mean())
    if own["language"].n_unique() < 2:
        return own.select(columns)
    both = own.group_by([*keys, "image_id"], maintain_order=True).agg(pl.col("effect").mean())
    return pl.concat([own.select(columns), both.with_columns(pl.lit(ALL).alias("language")).select(columns)])


def _share(part: pl.DataFrame, ceiling: pl.DataFrame, resampling: Resampling, language: str | None) -> dict[str, float]:
    """Effect over interchange effect, a ratio of means over the images that have both, which are resampled together.

    Without a ceiling (its interval holds 0) there is nothing to have a share of.
    """
    joined = part.select("image_id", "effect").join(
        ceiling.select("image_id", pl.col("effect").alias("ceiling")), on="image_id", maintain_order="left"
    )
    images, whole = joined["image_id"].to_list(), joined["ceiling"].to_numpy()
    if joined.is_empty() or not resampling.mean(whole, images, language).low > 0:
        return {}
    share = resampling.ratio(joined["effect"].to_numpy(), whole, images, language)
    return {"share": share.mean, "share_low": share.low, "share_high": share.high}


def corrected(effects: pl.DataFrame) -> pl.DataFrame:
    """With q over all layers and languages; rows over all languages, which repeat those, are a family of their own."""
    return corrected_within(effects, pl.col("language") == ALL)


def specificity(layer: int, measured: Sequence[Measured], resampling: Resampling) -> pl.DataFrame:
    """KL at the words that tell no side, by language: of the features, and of random sets. Captions differ there,
    whatever stands before their first word."""
    apart, rows = replace(resampling, pairs={}), []
    for part in measured:
        keys = ["language", "kind", "draw", "image_id"]
        means = part.divergence.group_by(keys, maintain_order=True).agg(pl.col("kl").fill_nan(None).mean())
        own, random = (means.filter(kind=kind).drop_nulls("kl") for kind in ("features", "random"))
        found = apart.mean(own["kl"].to_numpy(), own["image_id"].to_list())
        drawn = random.group_by("draw").agg(pl.col("kl").mean()).sort("draw")["kl"].to_numpy()
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (math.nan, math.nan)
        row = {
            "layer": layer,
            "language": part.divergence["language"][0],
            "images": own.height,
            "kl": found.mean,
            "low": found.low,
            "high": found.high,
            "control": float(drawn.mean()) if drawn.size else math.nan,
            "control_low": float(low),
            "control_high": float(high),
            "draws": drawn.size,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema=SPECIFICITY)


def metrics(effects: pl.DataFrame, specific: pl.DataFrame, first: str) -> dict[str, float]:
    """The effects on the `first` word and their controls, by layer and language."""
    flat: dict[str, float] = {}
    for row in effects.filter(intervention=ZERO, outcome=first).rows(named=True):
        for name in ("effect", "control", "p", "share"):
            if row[name] is not None and math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['language']}.{name}"] = row[name]
    for row in specific.rows(named=True):
        if math.isfinite(row["kl"]):
            flat[f"layer_{row['layer']}.{row['language']}.kl"] = row["kl"]
    return flat
