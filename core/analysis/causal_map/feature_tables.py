"""From swaps and crossings by caption to means over images: shares of the whole interchange, beside their controls."""

from typing import Any

import numpy as np
import polars as pl

from core.analysis.causal_map.carried import FROZEN, SAE, WHOLE, Classes
from core.analysis.causal_map.crossed import SAME, TWIN
from core.analysis.causal_map.summary import share_of
from core.causal.resampling import Resampling
from core.stats.families import corrected_within

_EFFECT = dict.fromkeys(("effect", "low", "high"), pl.Float64)
_CONTROL = dict.fromkeys(("control", "control_low", "control_high"), pl.Float64)
_P = {"p": pl.Float64, "q": pl.Float64}
_SHARE = dict.fromkeys(("share", "share_low", "share_high"), pl.Float64)
CARRIED = pl.Schema(
    {
        "language": pl.String,
        "dictionary": pl.String,
        "swapped": pl.String,
        "layer": pl.UInt16,
        "images": pl.UInt32,
        "units": pl.UInt32,
        **_EFFECT,
        **_CONTROL,
        "draws": pl.UInt32,
        **_P,
        **_SHARE,
        **dict.fromkeys(("kept", "kept_low", "kept_high"), pl.Float64),
        **dict.fromkeys(("better", "better_low", "better_high"), pl.Float64),
    }
)
"""One row per language, dictionary and what is swapped. `share` is its part of the effect of swapping whole rows
(completeness), `kept` what is left of that when everything but it is swapped (faithfulness), `better` its effect minus
that of the frozen dictionary's class of the same name."""
CROSSED = pl.Schema(
    {
        "language": pl.String,
        "source": pl.String,
        "features": pl.String,
        "layer": pl.UInt16,
        "images": pl.UInt32,
        "units": pl.UInt32,
        **_EFFECT,
        **_CONTROL,
        **_P,
        **_SHARE,
    }
)
"""One row per language whose run is changed, language of the activations, and class: the twin's activations, beside
those of the same image (the control). `share` is how much of what the twin's activations in the run's own language do
beyond the same image's, those of the other language do."""


def carried(swaps: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The table `carried` of a layer, q over languages and classes."""
    keys = ["language", "dictionary", "swapped", "draw", "image_id"]
    means = swaps.group_by(keys, maintain_order=True).agg(pl.col("effect", "rest").mean())
    rows = []
    for (language,), part in means.group_by("language", maintain_order=True):
        whole = part.filter(swapped=WHOLE).select("image_id", "effect")
        own = part.filter(draw=-1)
        for (dictionary, swapped), cell in own.group_by("dictionary", "swapped", maintain_order=True):
            place = {"language": language, "dictionary": dictionary, "swapped": swapped, "layer": layer}
            drawn = part.filter(pl.col("draw") >= 0, dictionary=dictionary, swapped=swapped)
            row = place | _against(cell, drawn, resampling, str(language)) | _kept(cell, whole, resampling)
            if swapped != WHOLE:
                row |= share_of(cell.select("image_id", "effect"), whole, resampling, str(language))
            if dictionary == SAE:
                row |= _better(cell, own.filter(dictionary=FROZEN, swapped=swapped), resampling)
            rows.append(row)
    table = pl.DataFrame(rows, schema=CARRIED)
    return corrected_within(table, pl.col("dictionary"))


def second_table(table: pl.DataFrame, classes: Classes) -> pl.DataFrame:
    """The rows of `carried` that are of classes, with how many `features` each has."""
    own = table.filter(pl.col("swapped").is_in(list(classes.members)))
    sizes = [len(classes.members[name]) for name in own["swapped"]]
    return own.with_columns(pl.Series("features", sizes, dtype=pl.UInt32))


def _against(cell: pl.DataFrame, drawn: pl.DataFrame, resampling: Resampling, language: str) -> dict[str, Any]:
    effect, images = cell["effect"].to_numpy(), cell["image_id"].to_list()
    found = resampling.mean(effect, images, language)
    units = np.unique(resampling.units(images, language)).size
    row = {"images": len(images), "units": units, "effect": found.mean, "low": found.low, "high": found.high}
    random = drawn.select("draw", "image_id", pl.col("effect").alias("value"))
    return row | resampling.against(effect, random, images, language)


def _kept(cell: pl.DataFrame, whole: pl.DataFrame, resampling: Resampling) -> dict[str, Any]:
    """1 − Σ rest / Σ whole."""
    rest = cell.filter(pl.col("rest").is_finite()).select("image_id", pl.col("rest").alias("effect"))
    found = share_of(rest, whole, resampling, cell["language"][0]) if rest.height else {}
    if not found:
        return {}
    low, high = 1 - found["share_high"], 1 - found["share_low"]
    return {"kept": 1 - found["share"], "kept_low": low, "kept_high": high}


def _better(cell: pl.DataFrame, frozen: pl.DataFrame, resampling: Resampling) -> dict[str, Any]:
    both = cell.join(frozen.select("image_id", pl.col("effect").alias("frozen")), on="image_id", maintain_order="left")
    if both.is_empty():
        return {}
    difference = (both["effect"] - both["frozen"]).to_numpy()
    found = resampling.mean(difference, both["image_id"].to_list(), cell["language"][0])
    return {"better": found.mean, "better_low": found.low, "better_high": found.high}


def crossed(crossings: pl.DataFrame, layer: int, resampling: Resampling) -> pl.DataFrame:
    """The table `crossed` of a layer, q over all its rows."""
    keys = ["language", "source", "features", "donor", "image_id"]
    means = crossings.group_by(keys, maintain_order=True).agg(pl.col("effect").mean())
    rows = []
    for (language, source, features), cell in means.group_by("language", "source", "features", maintain_order=True):
        both, spoken = _both(cell), str(language)
        row = {"language": language, "source": source, "features": features, "layer": layer}
        values = (both["effect"].to_numpy(), both["effect_same"].to_numpy())
        row |= resampling.beside(*values, both["image_id"].to_list(), spoken)
        if source != language:
            home = _both(means.filter(language=language, source=language, features=features))
            row |= share_of(_gain(both), _gain(home), resampling, spoken)
        rows.append(row)
    return corrected_within(pl.DataFrame(rows, schema=CROSSED), pl.lit(0))


def _both(cell: pl.DataFrame) -> pl.DataFrame:
    own, same = (cell.filter(donor=donor).select("image_id", "effect") for donor in (TWIN, SAME))
    return own.join(same, on="image_id", suffix="_same", maintain_order="left")


def _gain(both: pl.DataFrame) -> pl.DataFrame:
    """What the twin's activations do beyond the same image's."""
    return both.select("image_id", pl.col("effect") - pl.col("effect_same"))
