"""From responses by caption to effects, their controls, and shares of what the captions' own language does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch

from core.analysis.contrast.steered import OWN, Steered
from core.causal.resampling import Resampling
from core.stats.families import corrected_within

_EFFECT = dict.fromkeys(("effect", "low", "high", "control", "control_low", "control_high"), pl.Float64)
_SHARE = ("share", "share_low", "share_high", "share_control", "share_control_low", "share_control_high")
STEERED = pl.Schema(
    {
        **dict.fromkeys(("source", "target", "vector"), pl.String),
        "layer": pl.UInt16,
        "images": pl.UInt32,
        "units": pl.UInt32,
        **_EFFECT,
        "draws": pl.UInt32,
        "p": pl.Float64,
        "q": pl.Float64,
        **dict.fromkeys(_SHARE, pl.Float64),
        **dict.fromkeys(("cosine", "norm"), pl.Float64),
        "common": pl.UInt32,
    }
)
"""One row a vector's language, captions' language and kind of vector.

`share` is the effect over that of the captions' own language's vector on the same images, its control the random
vectors' effects over it; null where that effect's interval includes 0. `cosine` is that of the two vectors, `common`
how many features both sets have.
"""


def steered_table(steered: Steered, resampling: Resampling, norm: float) -> pl.DataFrame:
    """The table, q over kinds and pairs of languages; what a language does to itself is a family of its own."""
    keys = ["source", "target", "vector"]
    means = steered.responses.group_by([*keys, "draw", "image_id"], maintain_order=True).agg(pl.col("effect").mean())
    rows = []
    for (source, target, kind), part in means.group_by(keys, maintain_order=True):
        place = {"source": str(source), "target": str(target), "vector": str(kind), "layer": steered.layer}
        home = means.filter(source=target, target=target, vector=kind, draw=OWN)
        row = place | {"norm": norm} | _effect(part, resampling, str(target))
        rows.append(row | _beside_home(part, home, resampling, place) | _alike(steered, place))
    table = pl.DataFrame(rows, schema=STEERED)
    return corrected_within(table, pl.col("source") == pl.col("target"))


def _effect(part: pl.DataFrame, resampling: Resampling, target: str) -> dict[str, Any]:
    own, random = part.filter(draw=OWN), part.filter(pl.col("draw") > OWN).rename({"effect": "value"})
    images, values = own["image_id"].to_list(), own["effect"].to_numpy()
    found = resampling.mean(values, images, target)
    units = np.unique(resampling.units(images, target)).size
    row = {"images": len(images), "units": units, "effect": found.mean, "low": found.low, "high": found.high}
    return row | resampling.against(values, random.select("draw", "image_id", "value"), images, target)


def _beside_home(
    part: pl.DataFrame, home: pl.DataFrame, resampling: Resampling, place: Mapping[str, Any]
) -> dict[str, Any]:
    """The share of the home language's effect; nothing within a language, or where there is nothing to have a share
    of."""
    if place["source"] == place["target"] or home.is_empty():
        return {}
    both = part.filter(draw=OWN).join(home, on="image_id", suffix="_home", maintain_order="left")
    images, target = both["image_id"].to_list(), place["target"]
    effect, whole = both["effect"].to_numpy(), both["effect_home"].to_numpy()
    if not resampling.mean(whole, images, target).low > 0:
        return {}
    found = resampling.ratio(effect, whole, images, target)
    random = part.filter(pl.col("draw") > OWN).group_by("draw", maintain_order=True).agg(pl.col("effect").mean())
    drawn = random["effect"].to_numpy() / whole.mean()
    spread = (drawn.mean(), *np.quantile(drawn, [0.025, 0.975])) if drawn.size else (None, None, None)
    return dict(zip(_SHARE, (found.mean, found.low, found.high, *spread), strict=True))


def _alike(steered: Steered, place: Mapping[str, Any]) -> dict[str, Any]:
    own, home = (steered.vectors[place[side]] for side in ("source", "target"))
    vectors = [one.own.get(place["vector"]) for one in (own, home)]
    common = len(set(own.features) & set(home.features))
    if vectors[0] is None or vectors[1] is None:
        return {"common": common}
    return {"common": common, "cosine": float(torch.cosine_similarity(vectors[0], vectors[1], dim=0))}
