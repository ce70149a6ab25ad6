"""From effects by caption to means over images, with intervals, controls, shares of the ceiling, and corrected p."""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from core.analysis.causal_map.measures import OTHER, TWIN
from core.causal.pair_positions import EVERY
from core.causal.resampling import Resampling
from core.stats.families import corrected_within

_COUNTED: dict[str, Any] = {"images": pl.UInt32, "units": pl.UInt32}
_EFFECT = dict.fromkeys(("effect", "low", "high"), pl.Float64)
_TESTED: dict[str, Any] = {
    **dict.fromkeys(("control", "control_low", "control_high"), pl.Float64),
    "p": pl.Float64,
    "q": pl.Float64,
}
_SHARE = dict.fromkeys(("share", "share_low", "share_high"), pl.Float64)
MAP = pl.Schema(
    {
        "outcome": pl.String,
        "language": pl.String,
        "layer": pl.UInt16,
        "positions": pl.String,
        **_COUNTED,
        **_EFFECT,
        **_TESTED,
        **_SHARE,
    }
)
"""One row an outcome, language, layer and position set."""
CEILING = pl.Schema({"outcome": pl.String, "language": pl.String, **_COUNTED, **_EFFECT, **_TESTED})
"""One row an outcome and language: the twin's stream at every position, which is the same at all layers."""


def summarise(effects: pl.DataFrame, resampling: Mapping[tuple[str, str], Resampling]) -> dict[str, pl.DataFrame]:
    """The tables `map` and `ceiling`.

    Args:
        effects: `measures.EFFECTS`.
        resampling: by outcome and language.
    """
    means = effects.group_by(["outcome", "language", "layer", "positions", "donor", "image_id"], maintain_order=True)
    by_image = means.agg(pl.col("effect").mean())
    cells, ceilings = [], []
    for (outcome, language), part in by_image.group_by("outcome", "language", maintain_order=True):
        place = {"outcome": str(outcome), "language": str(language)}
        drawn = resampling[place["outcome"], place["language"]]
        whole = part.filter(positions=EVERY)
        ceilings.append(place | _tested(whole, drawn, place["language"]))
        rest = part.filter(pl.col("positions") != EVERY)
        for (layer, positions), cell in rest.group_by("layer", "positions", maintain_order=True):
            row = place | {"layer": layer, "positions": positions} | _tested(cell, drawn, place["language"])
            cells.append(row | share_of(_of(cell, TWIN), _of(whole, TWIN), drawn, place["language"]))
    return {
        "map": corrected_within(pl.DataFrame(cells, schema=MAP), pl.lit(0)),
        "ceiling": corrected_within(pl.DataFrame(ceilings, schema=CEILING), pl.lit(0)),
    }


def _of(part: pl.DataFrame, donor: str) -> pl.DataFrame:
    return part.filter(donor=donor).select("image_id", "effect")


def _tested(part: pl.DataFrame, resampling: Resampling, language: str) -> dict[str, Any]:
    own, other = _of(part, TWIN), _of(part, OTHER)
    joined = own.join(other, on="image_id", how="left", suffix="_control", maintain_order="left")
    control = joined["effect_control"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    return resampling.beside(joined["effect"].to_numpy(), control, joined["image_id"].to_list(), language)


def share_of(part: pl.DataFrame, whole: pl.DataFrame, resampling: Resampling, language: str) -> dict[str, Any]:
    """Σ effect / Σ ceiling over the images that have both, resampled together; none where the ceiling's interval
    includes 0."""
    joined = part.join(whole.rename({"effect": "whole"}), on="image_id", maintain_order="left")
    images, ceiling = joined["image_id"].to_list(), joined["whole"].to_numpy()
    if joined.is_empty() or not resampling.mean(ceiling, images, language).low > 0:
        return {}
    found = resampling.ratio(joined["effect"].to_numpy(), ceiling, images, language)
    return {"share": found.mean, "share_low": found.low, "share_high": found.high}
