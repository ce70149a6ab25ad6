"""Axes of heat maps over layers, where one square is one layer."""

import altair as alt
import polars as pl

LANGUAGES = ("English", "Arabic")
"""Languages in the order of panels."""


def layer_axis(layers: pl.Series, title: str = "Layer") -> alt.Axis:
    """An axis of one square a layer, labelled at about every fifth of many."""
    names = sorted(set(layers.to_list()))
    step = 1 if len(names) <= 10 else 5
    values = [name for name in names if name % step == 0]
    return alt.Axis(title=title, labelAngle=0, values=values, labelOverlap=False)


def spelled(table: pl.DataFrame) -> pl.DataFrame:
    """The table with its languages named in full."""
    return table.with_columns(pl.col("language").replace({"en": "English", "ar": "Arabic", "shared": "Shared"}))
