"""The figures of the concept's direction: held-out separation by layer, and test images in two and three dimensions."""

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import (
    BAND,
    HALF,
    INK,
    LANGUAGE_NAMES,
    REFERENCE,
    SERIES,
    Figure,
    by_panel,
    label_colour,
    layer_x,
    rule,
)

_MEANS = "difference of means"
_REACH = 3.5
_SIZE = 330
_AXES = ("along", "first", "second")


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    found = {}
    if tables["separation"].height:
        found["separation"] = _separation(tables["separation"], concept)
    if tables["projections"].height and tables["best"].height:
        found["plane"] = _plane(tables["projections"], tables["best"], concept)
        space = _space(tables["projections"], tables["best"], concept)
        found |= {} if space is None else {"space": space}
    return found


def _panelled(table: pl.DataFrame, concept: Concept) -> tuple[pl.DataFrame, dict[str, str]]:
    place = pl.col("language").replace(LANGUAGE_NAMES) + ", " + pl.col("position_set")
    order = pl.col("position_set").replace_strict(
        {name: number for number, name in enumerate(concept.position_sets)}, return_dtype=pl.Int64
    )
    shown = table.with_columns(place.alias("panel")).sort(order, pl.col("language") == "ar", maintain_order=True)
    return shown, {name: name for name in shown["panel"].unique(maintain_order=True)}


def _separation(separation: pl.DataFrame, concept: Concept) -> Figure:
    shown, panels = _panelled(separation, concept)
    colour = alt.Color(
        "method:N", title="Direction", scale=alt.Scale(domain=[_MEANS, "LDA"], range=[SERIES[0], SERIES[4]])
    )
    drawn = shown.select("panel", "layer", "method", "auroc", "low", "high", "random_high")
    scale = alt.Scale(domain=[0.4, 1], clamp=True)
    one = alt.Chart(drawn).encode(x=layer_x())
    line = one.mark_line(point=alt.OverlayMarkDef(size=14)).encode(
        y=alt.Y("auroc:Q", title="AUROC", scale=scale), color=colour
    )
    band = one.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title="AUROC", scale=scale), y2="high:Q", color=colour)
    dashed = one.transform_filter(alt.FieldEqualPredicate(field="method", equal=_MEANS))
    random = dashed.mark_line(color=REFERENCE, strokeDash=[2, 2], strokeWidth=1.5).encode(y="random_high:Q")
    one_from_other = " from ".join(map(concept.those, concept.sides))
    return Figure(
        by_panel((band + random + line + rule(0.5)).properties(width=HALF, height=HALF * 2 // 3), "panel", panels),
        f"How well one direction, fitted on training images, tells {one_from_other} on test images; band: 95 % "
        "interval over images. Dotted: what 97.5 % of directions drawn from the stream's covariance do not reach, "
        "either way.",
    )


def _plane(projections: pl.DataFrame, best: pl.DataFrame, concept: Concept) -> Figure:
    keys = ["language", "position_set", "layer", "method"]
    shown, panels = _panelled(projections.join(best.select(keys), on=keys, how="semi").filter(method=_MEANS), concept)
    drawn = shown.select("panel", "layer", "image_id", "label", pl.col("along", "first").round(3))
    points = (
        alt.Chart(drawn)
        .mark_point(size=26, opacity=0.75)
        .encode(
            x=alt.X("along:Q", title=f"Along the {concept.name} direction (SD)", axis=alt.Axis(grid=True)),
            y=alt.Y("first:Q", title="1st component beside it (SD)"),
            color=label_colour("label", concept.colours, concept.sides),
            tooltip=["image_id", "label", "layer"],
        )
    )
    return Figure(
        by_panel(points.properties(width=HALF, height=HALF), "panel", panels),
        "Test images along the difference of means and along the leading component of what is orthogonal to it, both "
        "fitted on training images, in their standard deviations; each panel at the layer where the direction tells "
        f"selection images apart best. Colour: {concept.name} of the caption.",
    )


def _space(projections: pl.DataFrame, best: pl.DataFrame, concept: Concept) -> Figure | None:
    """Three dimensions, turned by sliders: expressions of Vega, so that no WebGL is needed."""
    shown, panels = _panelled(projections.filter(method=_MEANS), concept)
    whole = shown.group_by("layer").agg(pl.col("panel").n_unique().alias("panels")).filter(panels=len(panels))
    shown = shown.filter(pl.col("layer").is_in(whole["layer"].implode()))  # so that no choice of the two is empty
    drawn = shown.select("panel", "layer", "label", pl.col(list(_AXES)).round(2))
    if drawn.is_empty():
        return None
    start = _panelled(best.filter(method=_MEANS), concept)[0].row(0, named=True)
    layers = sorted(drawn["layer"].unique().to_list())
    nearest = min(layers, key=lambda layer: (abs(layer - start["layer"]), layer))
    params = [
        _slider("turn", "Turn", 25, (-180, 180)),
        _slider("tilt", "Tilt", 20, (-90, 90)),
        _choice("shown_layer", "Layer", layers, nearest),
        _choice("shown_place", "Place", list(panels), start["panel"]),
    ]
    points = _turned(alt.Chart(drawn)).transform_filter("datum.layer == shown_layer && datum.panel == shown_place")
    furthest = drawn.select(sum((pl.col(axis) ** 2 for axis in _AXES), pl.lit(0.0)).sqrt().max()).item()
    reach = max(_REACH, math.ceil(furthest))
    domain = alt.Scale(domain=[-reach, reach])
    x, y = alt.X("across:Q", axis=None, scale=domain), alt.Y("up:Q", axis=None, scale=domain)
    dots = points.mark_point(stroke=None).encode(
        x=x,
        y=y,
        color=label_colour("label", concept.colours, concept.sides).legend(orient="bottom", title=None),
        size=alt.Size("near:Q", scale=alt.Scale(domain=[-3, 3], range=[14, 80]), legend=None),
        opacity=alt.Opacity("near:Q", scale=alt.Scale(domain=[-3, 3], range=[0.45, 1]), legend=None),
        tooltip=["label", *_AXES],
    )
    lines, names = _frame(x, y, concept.name)
    those = " and ".join(map(concept.those, concept.sides))
    chart = alt.layer(lines, names, dots).add_params(*params).properties(width=_SIZE, height=_SIZE)
    return Figure(
        chart,
        f"Test images in three dimensions of the stream: along the difference of means of {those}, and along the "
        "two leading components of what is orthogonal to it, all fitted on training images and in their standard "
        f"deviations. Sliders turn and tilt the picture; larger points are nearer. On {concept.positions.first} "
        "tokens the word itself is read.",
        f"Test images in three dimensions, coloured by {concept.name}; the first axis is the {concept.name} direction.",
    )


def _slider(name: str, title: str, value: int, ends: tuple[int, int]) -> alt.Parameter:
    bound = alt.binding_range(min=ends[0], max=ends[1], step=1, name=f"{title} ")
    return alt.param(name=name, value=value, bind=bound)


def _choice(name: str, title: str, options: list[Any], value: Any) -> alt.Parameter:
    return alt.param(name=name, value=value, bind=alt.binding_select(options=options, name=f"{title} "))


def _turned(chart: alt.Chart) -> alt.Chart:
    """Turn about the upright axis, then tilt toward the reader; no perspective."""
    degree = f"{math.pi / 180:.10f}"
    found: alt.Chart = chart.transform_calculate(
        across=f"datum.along * cos(turn * {degree}) + datum.first * sin(turn * {degree})",
        away=f"datum.first * cos(turn * {degree}) - datum.along * sin(turn * {degree})",
    ).transform_calculate(
        up=f"datum.second * cos(tilt * {degree}) + datum.away * sin(tilt * {degree})",
        near=f"datum.second * sin(tilt * {degree}) - datum.away * cos(tilt * {degree})",
    )
    return found


def _frame(x: alt.X, y: alt.Y, name: str) -> tuple[alt.Chart, alt.Chart]:
    """The three axes as lines, and their names beyond the ends."""
    called = (f"{name} direction", "1st component", "2nd component")
    ends = [
        {"axis": axis, "name": name, **dict.fromkeys(_AXES, 0.0), axis: at}
        for axis, name in zip(_AXES, called, strict=True)
        for at in (-2.5, 2.5, 3.0)
    ]
    table = pl.DataFrame(ends).with_columns(pl.max_horizontal(*_AXES).alias("reach"))
    colour = alt.when("datum.axis == 'along'").then(alt.value(INK)).otherwise(alt.value(REFERENCE))
    turned = _turned(alt.Chart(table)).encode(x=x, y=y, color=colour)
    lines = turned.transform_filter("datum.reach < 3").mark_line(strokeWidth=1.5).encode(detail="axis:N")
    names = turned.transform_filter("datum.reach == 3").mark_text(fontSize=11.5).encode(text="name:N")
    return lines, names
