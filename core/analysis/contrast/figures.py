"""The contrast's figures: transfer over layers, and accuracy before and after centring."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.languages import LANGUAGE_NAMES
from core.features.readings import STREAM_READ
from core.figures.theme import BAND, CONTROLS, HALF, REFERENCE, SERIES, Figure, by_panel, layer_x

_SIZE = {"width": HALF, "height": HALF * 2 // 3}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    stream = tables["transfer"].filter(read=STREAM_READ)
    found = {} if stream.is_empty() else {"transfer": _transfer(stream), "centring": _centring(stream)}
    if "steered" in tables and tables["steered"].height:
        found["steered"] = _steered(tables["steered"])
    return found


def _named(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str], list[str]]:
    """The table with `way` in words; the ways within a language, and those from one to another."""
    name = pl.concat_str(
        pl.col("source").replace(LANGUAGE_NAMES), pl.lit(" → "), pl.col("target").replace(LANGUAGE_NAMES)
    )
    named = table.with_columns(name.alias("way"))
    within = named.filter(pl.col("source") == pl.col("target"))["way"].unique().sort().to_list()
    across = named.filter(pl.col("source") != pl.col("target"))["way"].unique().sort().to_list()
    return named, within, across


def _transfer(stream: pl.DataFrame) -> Figure:
    table, within, across = _named(stream)
    ways = [*across, *within]
    range_ = [*SERIES[: len(across)], *CONTROLS[: len(within)]]
    colour = alt.Color("way:N", title="Trained → tested", scale=alt.Scale(domain=ways, range=range_))
    columns = ["layer", "position_set", "way", "auroc", "low", "high", "shuffled_high"]
    base = alt.Chart(table.select(columns)).encode(x=layer_x())
    title, scale = "AUROC on the test split", alt.Scale(zero=False)
    null = base.mark_line(color=REFERENCE, strokeDash=[2, 2], strokeWidth=1).encode(
        y=alt.Y("max(shuffled_high):Q", title=title, scale=scale)
    )
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", color=colour)
    line = base.mark_line().encode(y=alt.Y("auroc:Q", title=title, scale=scale), color=colour)
    return Figure(
        (null + band + line).properties(**_SIZE).facet(column=alt.Column("position_set:N", title=None)),
        "Linear probes of the stream, trained on captions of one language and scored on test images in the other "
        "(colours) or in the same one (grey), by layer. Band: 95 % interval over images, twins drawn together; dotted: "
        "97.5th percentile with shuffled labels, layer by layer.",
    )


def _centring(stream: pl.DataFrame) -> Figure:
    table, _, across = _named(stream)
    names = {"centred": "each language less its own mean", "accuracy": "as it is"}
    parts = [
        table.filter(pl.col("way").is_in(across)).select(
            "layer", "position_set", "way", pl.lit(name).alias("rows"), accuracy=column
        )
        for column, name in names.items()
    ]
    colour = alt.Color("way:N", title="Trained → tested", scale=alt.Scale(domain=across, range=SERIES[: len(across)]))
    dash = alt.StrokeDash(
        "rows:N", title="Rows", scale=alt.Scale(domain=[*names.values()], range=[[1, 0], [4, 3]]), sort=None
    )
    y = alt.Y("accuracy:Q", title="Named rightly (%)", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    line = alt.Chart(pl.concat(parts)).mark_line().encode(x=layer_x(), y=y, color=colour, strokeDash=dash)
    return Figure(
        line.properties(**_SIZE).facet(column=alt.Column("position_set:N", title=None)),
        "Share of test images of the other language whose side the probe names rightly, by layer: with its threshold "
        "as it is, and after the mean of each language's training rows, labelled or not, was subtracted.",
    )


def _steered(steered: pl.DataFrame) -> Figure:
    table, within, across = _named(steered)
    ways = [*across, *within]
    range_ = [*SERIES[: len(across)], *CONTROLS[: len(within)]]
    colour = alt.Color("way:N", title="Fitted → steered", scale=alt.Scale(domain=ways, range=range_), sort=None)
    columns = ["vector", "target", "way", "effect", "low", "high", "control_low", "control_high"]
    base = alt.Chart(table.select(columns)).encode(y=alt.Y("way:N", title=None, sort=ways))
    title, axis = "Effect on the word (nats)", alt.Axis(tickCount=4)
    band = base.mark_bar(opacity=BAND, size=12, color=REFERENCE).encode(
        x=alt.X("control_low:Q", title=title, axis=axis), x2="control_high:Q"
    )
    span = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, axis=axis), x2="high:Q", color=colour)
    point = base.mark_point().encode(x=alt.X("effect:Q", title=title, axis=axis), color=colour)
    panels = by_panel(
        alt.layer(band, span, point, width=HALF, height=alt.Step(20)),
        "vector",
        {name: name for name in table["vector"].unique(maintain_order=True)},
    )
    return Figure(
        panels,
        f"Layer {table['layer'][0]}: log p(word of the first side) − log p(word of the other) at the concept's first "
        f"word, half its difference between a vector added and taken away, each at {table['norm'][0]:.0%} of the "
        "stream's norm; means over test images with 95 % intervals. Colours: the vector of the other language; grey "
        "points: of the same. Grey bars: central 95 % of random feature sets, or of directions in which images of one "
        "side differ.",
    )
