"""What a feature is beside others: nearest decoder rows, features that fire with it, its matches in other layers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import polars as pl

from core.features.indexed_layer import IndexedFeature
from explorer.dashboard import links
from explorer.dashboard.found import found
from explorer.dashboard.grids import Grid, grid
from explorer.reading.library import ShownLayer

_MOST = 8


def neighbours(shown: ShownLayer, own: IndexedFeature) -> Grid:
    """The features of the layer whose decoder rows are most alike."""
    table = own.neighbours.sort("rank").head(_MOST)
    return grid(table, ("neighbour", "cosine"), {"neighbour": _to(shown, "neighbour")})


def partners(shown: ShownLayer, own: IndexedFeature) -> Grid:
    """The features of the layer that fire in the same rows."""
    table = own.coactivation.sort("rank").head(_MOST)
    return grid(table, ("partner", "jaccard", "both"), {"partner": _to(shown, "partner")})


def matches(shown: ShownLayer, feature: int) -> tuple[Grid | None, str]:
    """The features of the layers before and after that the analysis of evolution matched to it, and why there are none
    where there are none."""
    evolution = found(shown.study, "evolution")
    layer = shown.indexed.layer
    after = evolution.table("matches", layer=layer, feature=feature)
    before = evolution.table("matches", next_layer=layer, next_feature=feature)
    parts = [
        part.select(
            pl.col(f"{side}layer").alias("layer"), pl.col(f"{side}feature").alias("feature"), "correlation", "cosine"
        )
        for side, part in (("", before), ("next_", after))
        if part is not None
    ]
    if not parts:
        reason = evolution.reason or "The analysis evolution matched it to no feature of the layer before or after."
        return None, reason
    return grid(pl.concat(parts), ("layer", "feature", "correlation", "cosine"), {"feature": partial(_in, shown)}), ""


def _to(shown: ShownLayer, column: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: links.feature_at(shown.study.key, shown.indexed.layer, row[column])


def _in(shown: ShownLayer, row: Mapping[str, Any]) -> str:
    return links.feature_at(shown.study.key, row["layer"], row["feature"])
