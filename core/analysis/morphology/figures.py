"""The figures of form and referent: by layer, by suffix, and how many features follow which."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.figures.heat_map import layer_axis
from core.figures.theme import BAND, CONTROLS, HALF, MUTED, REFERENCE, SERIES, WIDTH, Figure, by_panel, layer_x, rule
from core.stats.picking import picked_layer

_COLOURS = {"form": SERIES[3], "referent": SERIES[2]}
_FOLLOWED = {**_COLOURS, "both": SERIES[6], "neither": CONTROLS[1]}
_PANELS = {"person": "Words of the person", "owned": "Owned things", "other": "Words of nobody"}
_UNIT = "Difference (standard deviations)"


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found = {}
    if "sets" in tables and tables["sets"].height:
        sets = tables["sets"].filter(pl.col("top") == pl.col("top").min())
        crossed = sets.filter(pl.col("words") != "generic")
        if crossed.height:
            found["effects"] = _effects(crossed.filter(suffix=""))
            found["suffixes"] = _suffixes(crossed, tables["design"])
    if "features" in tables and tables["features"].height:
        found["follow"] = _follow(tables["features"].filter(suffix=""))
    return found


def _shown(table: pl.DataFrame) -> dict[str, str]:
    there = set(table["words"])
    return {words: name for words, name in _PANELS.items() if words in there}


def _effects(sets: pl.DataFrame) -> Figure:
    colour = alt.Color(
        "effect:N", title="Effect of", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    )
    keys = ["layer", "words", "effect"]
    every = sets.select("layer").unique().join(sets.select("words", "effect").unique(), how="cross").sort(keys)
    drawn = every.join(sets.select(*keys, "value", "low", "high"), on=keys, how="left", maintain_order="left")
    drawn = drawn.with_columns(pl.col("low", "high").fill_nan(None))  # a line breaks where nothing was measured
    base = alt.Chart(drawn).encode(x=layer_x())
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(y=alt.Y("value:Q", title=_UNIT), color=colour)
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=_UNIT), y2="high:Q", color=colour)
    panels = by_panel((band + line + rule(0)).properties(width=HALF, height=HALF), "words", _shown(sets))
    return Figure(
        panels,
        "What the feminine form adds to the activation of gender features with the person's gender held fixed, and "
        "what a female person adds with the form held fixed; each feature signed by its association on selection "
        "images and in its standard deviations. Words of test captions; band: 95 % interval (clustered by word and by "
        "image at once). Sorts of words in which the two never part are not drawn.",
    )


def _suffixes(sets: pl.DataFrame, design: pl.DataFrame) -> Figure:
    parts = [part.filter(layer=picked_layer(part)) for part in sets.partition_by("words", "suffix")]
    measured = _named(pl.concat(parts).filter(effect="form"))
    drawn = measured.select("stratum", "value", "low", "high", "shuffled_low", "shuffled_high", "layer")
    order = _named(design.filter(pl.col("occurrences") > 0))
    there = set(drawn["stratum"])
    missing = order.filter(~pl.col("stratum").is_in(list(there))).with_columns(
        pl.when(pl.col("not_identifiable") == "")
        .then(pl.lit("no gender feature fires there"))
        .otherwise(pl.lit("not identifiable"))
        .alias("why")
    )
    y = alt.Y(
        "stratum:N", title=None, sort=order["stratum"].to_list(), scale=alt.Scale(domain=order["stratum"].to_list())
    )
    base = alt.Chart(drawn).encode(y=y)
    grey = base.mark_bar(color=CONTROLS[1], opacity=0.45, size=10).encode(x="shuffled_low:Q", x2="shuffled_high:Q")
    ends = base.mark_rule(color=_COLOURS["form"], strokeWidth=2).encode(x=alt.X("low:Q", title=_UNIT), x2="high:Q")
    dots = base.mark_point(color=_COLOURS["form"]).encode(
        x="value:Q", tooltip=["stratum", "value", "low", "high", "layer"]
    )
    words = (
        alt.Chart(missing.select("stratum", "why"))
        .mark_text(align="left", color=MUTED, dx=6)
        .encode(y=y, x=alt.datum(0), text="why:N")
    )
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=REFERENCE, strokeDash=[4, 3]).encode(x="zero:Q")
    return Figure(
        (grey + zero + ends + dots + words).properties(width=WIDTH - 160, height=alt.Step(24)),
        "What a feminine suffix adds with the person's gender held fixed, at the layer whose features go most with "
        "gender on selection images; line: 95 % interval; grey: central 95 % with the forms dealt to the words at "
        "random. Where the suffix always agrees with the person, nothing can be said.",
    )


def _named(table: pl.DataFrame) -> pl.DataFrame:
    suffix = pl.when(pl.col("suffix") == "").then(pl.lit("any form")).otherwise(pl.col("suffix"))
    return table.with_columns((pl.col("words").replace(_PANELS) + ": " + suffix).alias("stratum"))


def _follow(features: pl.DataFrame) -> Figure:
    counted = features.group_by("layer", "words", "follows").len("features").sort("words", "layer", "follows")
    colour = alt.Color(
        "follows:N", title="Features follow", scale=alt.Scale(domain=list(_FOLLOWED), range=list(_FOLLOWED.values()))
    )
    chart = (
        alt.Chart(counted)
        .mark_bar()
        .encode(
            x=alt.X("layer:O", axis=layer_axis(counted["layer"])),
            y=alt.Y("features:Q", title="Features that fire there"),
            color=colour,
            tooltip=["layer", "follows", "features"],
        )
        .properties(width=HALF, height=HALF)
    )
    return Figure(
        by_panel(chart, "words", _shown(features)),
        "Features that fire on enough test images, by what they follow: the word's form with the person's gender held "
        "fixed, the person's gender with the form held fixed, both or neither (q ≤ 0.05 over all layers, words and "
        "features, and the same sign whichever word is left out).",
    )
