"""Which features' examples a report shows, and which of their columns."""

from collections.abc import Sequence

import polars as pl

from core.report.model import ShownTable

KEYS = ("layer", "feature")
_UNSHOWN = {"row", "sample_id", "image_id", "rank", "position", "token"}


def described(tables: Sequence[ShownTable]) -> pl.DataFrame | None:
    """The first table with one row per feature: its order is the examples' order, its columns their facts."""
    for shown in tables:
        table = shown.table
        if {*KEYS} <= set(table.columns) and table.height and table.height == table.select(KEYS).n_unique():
            return table
    return None


def chosen_examples(table: pl.DataFrame, facts: pl.DataFrame | None, features: int, each: int) -> pl.DataFrame:
    """The first `features` features with up to `each` examples a quantile, the strongest quantile first.

    A column `context` is called `strip`, and columns that only name a row are left out.
    """
    keys = [pl.col(key).cast(pl.Int64) for key in KEYS]
    table = table.with_columns(keys).rename({"context": "strip"} if "context" in table.columns else {})
    order = (table if facts is None else facts.with_columns(keys)).select(KEYS).unique(maintain_order=True)
    order = order.join(table.select(KEYS).unique(), on=KEYS, how="semi", maintain_order="left").head(features)
    picked = table.join(order.with_row_index("_place"), on=KEYS, how="inner")
    bands = [name for name in ("quantile",) if name in picked.columns]
    ranks = [name for name in ("rank",) if name in picked.columns]
    falling = [False] + [True] * len(bands) + [False] * len(ranks)
    picked = picked.sort("_place", *bands, *ranks, descending=falling, maintain_order=True)
    picked = picked.group_by("_place", *bands, maintain_order=True).head(each)
    shown = [name for name in table.columns if name not in _UNSHOWN and picked[name].null_count() < picked.height]
    return picked.select(shown)
