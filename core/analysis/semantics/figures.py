"""The figures of meaning beyond form: by layer, and feature by feature."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.figures.theme import (
    BAND,
    HALF,
    LANGUAGE_NAMES,
    Figure,
    by_panel,
    control_colour,
    language_colour,
    layer_x,
    rule,
)

_PLACES = {"before": "before the first gendered word", "after": "after it", "gendered": "gendered words"}
_LEFT, _PLAIN, _DEALT = "word regressed out", "word left in", "genders dealt at random"


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found = {}
    if tables["sets"].height:
        found["beyond_form"] = _by_layer(tables["sets"].filter(pl.col("top") == pl.col("top").min()))
    if tables["features"].height:
        found["features"] = _features(tables["features"])
    return found


def _panelled(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    language, place = pl.col("language").replace(LANGUAGE_NAMES), pl.col("place").replace(_PLACES)
    shown = table.with_columns((language + ", " + place).alias("panel"))
    return shown, {name: name for name in shown["panel"].unique(maintain_order=True)}


def _by_layer(sets: pl.DataFrame) -> Figure:
    shown, panels = _panelled(sets.sort(pl.col("language") == "ar", pl.col("place") == "after", "layer"))
    none = pl.lit(None, pl.Float64)
    parts = {
        _LEFT: ("auroc", pl.col("low"), pl.col("high")),
        _PLAIN: ("plain", none, none),
        _DEALT: ("shuffled", pl.col("shuffled_low"), pl.col("shuffled_high")),
    }
    drawn = pl.concat(
        [
            shown.select(
                "layer",
                "panel",
                pl.lit(name).alias("what"),
                pl.col(column).alias("auroc"),
                low.alias("low"),
                high.alias("high"),
            )
            for name, (column, low, high) in parts.items()
        ]
    )
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(drawn).encode(x=layer_x(), color=control_colour("what", [_LEFT], [_PLAIN, _DEALT]))
    line = base.mark_line(point=alt.OverlayMarkDef(size=14)).encode(y=alt.Y("auroc:Q", title="AUROC", scale=scale))
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title="AUROC", scale=scale), y2="high:Q")
    return Figure(
        by_panel((band + line + rule(0.5)).properties(width=HALF, height=HALF * 3 // 4), "panel", panels),
        "How well the features that go with gender on selection images tell the person's gender on test images: AUROC "
        "of their mean over an image's words, each written word's own mean taken out (band: 95 % interval over "
        "images), beside the same with the word left in and with genders dealt to the images at random (band: central "
        "95 %).",
    )


def _features(features: pl.DataFrame) -> Figure:
    keys = ["language", "place", "layer"]
    strongest = (
        features.with_columns((pl.col("auroc") - 0.5).abs().alias("strength"))
        .sort("strength", "layer", "feature", descending=[True, False, False])
        .group_by("language", "place", maintain_order=True)
        .head(150)
    )
    shown, panels = _panelled(
        strongest.sort(pl.col("language") == "ar", pl.col("place") == "after", *keys[2:], "feature")
    )
    drawn = shown.select("panel", "language", "layer", "feature", pl.col("plain", "auroc", "q").round(4))
    scale = alt.Scale(domain=[0, 1])
    points = (
        alt.Chart(drawn)
        .mark_point(size=22, opacity=0.6)
        .encode(
            x=alt.X("plain:Q", title="AUROC, word left in", scale=scale),
            y=alt.Y("auroc:Q", title="AUROC, word regressed out", scale=scale),
            color=language_colour(present=[one for one in ("en", "ar") if one in set(drawn["language"])]),
            tooltip=["layer", "feature", "plain", "auroc", "q"],
        )
        .properties(width=HALF, height=HALF)
    )
    return Figure(
        by_panel(points, "panel", panels),
        "Single features, of all layers the 150 that tell most once the written word is regressed out (above ½: more "
        "active beside women), against what they tell with the word left in. Test images; no interval.",
    )
