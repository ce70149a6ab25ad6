"""The measures by layer, and over all layers beside their nulls and ceilings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from core.analysis.alignment.values import OverFeatures, OverImages, Value
from core.stats.families import corrected_within
from core.stats.intervals import bootstrap_mean, permutation_p

_NUMBERS = ("value", "low", "high", "null", "null_low", "null_high", "ceiling")
LAYERS = pl.Schema(
    {"dictionary": pl.String, "layer": pl.UInt16, "measure": pl.String, **dict.fromkeys(_NUMBERS, pl.Float64)}
)
"""One row a dictionary (SAE, frozen, or stream), layer and measure: its interval, its mean and central 95 % under
shuffles, and what two SAEs of the layer share by the same measure."""

_SUMMARY: dict[str, Any] = {
    "measure": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "n": pl.UInt32,
    **dict.fromkeys(("control", "control_low", "control_high"), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("ceiling", "p", "q"), pl.Float64),
}
SUMMARY = pl.Schema(_SUMMARY)
"""One row a measure over all layers; q over those that have a p."""

MEASURES = ("correlation", "jaccard", "matched", "cka", "overlap", "cosine", "transport", "direction")
Layered = Mapping[int, Mapping[str, Value]]
"""Measures by layer and name."""


@dataclass(frozen=True)
class Found:
    """Measures by dictionary, and the ceilings of those that have one."""

    dictionaries: Mapping[str, Layered]
    ceilings: Mapping[int, Mapping[str, float]]


def layer_table(found: Found) -> pl.DataFrame:
    """Rows of `LAYERS`."""
    rows = []
    for dictionary, layers in found.dictionaries.items():
        for layer, measures in layers.items():
            for name, value in measures.items():
                ceiling = found.ceilings.get(layer, {}).get(name) if dictionary == "SAE" else None
                null = _null(value)
                rows.append((dictionary, layer, name, value.value, *value.interval, *null, ceiling))
    return pl.DataFrame(rows, LAYERS, orient="row")


def summary_table(found: Found, images: int, seed: int) -> pl.DataFrame:
    """Each measure over the layers, and the SAEs' less the frozen dictionaries', layer by layer."""
    rows = []
    for name in MEASURES:
        for layers in (found.dictionaries.get("SAE", {}), found.dictionaries.get("stream", {})):
            own = [measures[name] for measures in layers.values() if name in measures]
            own = [one for one in own if math.isfinite(one.value)]
            if own:
                rows.append(_row(name, own, [part[name] for part in found.ceilings.values() if name in part], images))
    frozen = found.dictionaries.get("frozen", {})
    for name in MEASURES if frozen else ():
        pairs = [(found.dictionaries["SAE"][layer].get(name), other.get(name)) for layer, other in frozen.items()]
        differences = [own.value - other.value for own, other in pairs if own is not None and other is not None]
        if differences:
            low, mean, high = bootstrap_mean(np.array(differences), 1000, seed)
            count = len(differences)
            rows.append({"measure": f"{name} - frozen", "value": mean, "low": low, "high": high, "n": count})
    return corrected_within(pl.DataFrame(rows, SUMMARY), pl.lit(0))


def _row(name: str, layers: Sequence[Value], ceilings: Sequence[float], images: int) -> dict[str, Any]:
    pooled: Value = type(layers[0]).pooled(layers)  # type: ignore[arg-type]
    low, high = pooled.interval
    count = pooled.values.size if isinstance(pooled, OverFeatures) else images
    row = {"measure": name, "value": pooled.value, "low": low, "high": high, "n": count}
    if ceilings:
        row["ceiling"] = float(np.nanmean(ceilings))
    if not pooled.shuffled.size:
        return row
    null = dict(zip(("control", "control_low", "control_high"), _null(pooled), strict=True))
    return {**row, **null, "draws": pooled.shuffled.size, "p": permutation_p(pooled.value, pooled.shuffled)}


def _null(value: OverImages | OverFeatures) -> tuple[float | None, float | None, float | None]:
    known = value.shuffled[np.isfinite(value.shuffled)]
    if not known.size:
        return None, None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(known.mean()), float(low), float(high)
