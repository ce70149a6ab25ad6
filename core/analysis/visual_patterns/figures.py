"""The visual patterns' figures: how often maps point at each box, the maps themselves, agreement with causal maps."""

import math
from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.visual_patterns.cluster_figure import cluster_figure
from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import CONTROLS, HEIGHT, SEQUENTIAL, SERIES, WIDTH, Figure, control_colour, layer_x, rule

_MEASURED = "highest-ranked features"
_CONTROLS = {"control": "matched features", "centre": "the image's middle", "chance": "a random cell"}
_MAP = 66
_SHOWN = 6
_LAYER = alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0))


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    found: dict[str, Figure] = {}
    whole = tables.get("localisation", pl.DataFrame({"feature": []}))
    if whole.height:
        found["pointing"] = _pointing(whole.filter(pl.col("feature").is_null()))
    if "maps" in tables and tables["maps"].height:
        found["maps"] = _maps(tables["maps"], concept)
    if "causal" in tables and tables["agreement"].height:
        found["causal"] = _causal(tables["causal"], tables["agreement"])
    if "clusters" in tables and tables["clusters"].height:
        found["clusters"] = cluster_figure(tables["clusters"])
    return found


def _pointing(layers: pl.DataFrame) -> Figure:
    boxes = [name for name in ("person", "object", "place") if name in layers["box"].to_list()]
    boxes += sorted(set(layers["box"].to_list()) - set(boxes))
    names = [_MEASURED, *_CONTROLS.values()]
    parts = [
        layers.select("layer", "box", pl.col(column).alias("rate"), pl.lit(name).alias("set"))
        for column, name in {"pointing": _MEASURED, **_CONTROLS}.items()
    ]
    lines = pl.concat(parts).filter(pl.col("rate").is_finite())
    spans = layers.select(
        "layer",
        "box",
        (pl.col("pointing") - pl.col("above_control") + pl.col("above_control_low")).clip(0, 1).alias("low"),
        (pl.col("pointing") - pl.col("above_control") + pl.col("above_control_high")).clip(0, 1).alias("high"),
        pl.lit(_MEASURED).alias("set"),
    )
    colour = control_colour("set", names[:1], names[1:])
    rate = alt.Y("rate:Q", title="Strongest cell in the box (share of images)", scale=alt.Scale(domain=[0, 1]))
    panels = []
    for box in boxes:
        own = alt.Chart(lines.filter(pl.col("box") == box)).encode(x=_LAYER, color=colour)
        marks = own.mark_line(point=True).encode(y=rate)
        span = alt.Chart(spans.filter(pl.col("box") == box)).encode(x=_LAYER, color=colour)
        drawn = span.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q") + marks
        panels.append(drawn.properties(width=(WIDTH - 60) // max(len(boxes), 1), height=HEIGHT, title=box.capitalize()))
    caption = (
        "The pointing game: share of test images whose strongest map cell lies in the box, features averaged by image, "
        "with the 95 % interval of the difference from matched features. Grey: features without the association that "
        "fire on as many image rows, a map of the image's middle, a random cell."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(y="shared"), caption)


def _maps(maps: pl.DataFrame, concept: Concept) -> Figure:
    """The strongest feature of every layer on the images where it fires most."""
    first = maps.unique("layer", keep="first", maintain_order=True).select("layer", "feature")
    shown = maps.join(first, on=["layer", "feature"], maintain_order="left").filter(pl.col("rank") <= _SHOWN)
    side = math.isqrt(len(shown["map"][0]))
    cells = shown.with_columns(pl.int_ranges(0, side**2).alias("cell")).explode("map", "cell")
    cells = cells.select(
        (pl.lit("layer ") + pl.col("layer").cast(pl.String) + " #" + pl.col("feature").cast(pl.String)).alias("row"),
        "rank",
        pl.col("map").alias("activation"),
        (pl.col("cell") // side).alias("y"),
        (pl.col("cell") % side).alias("x"),
    )
    hidden = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    chart = (
        alt.Chart(cells)
        .mark_rect()
        .encode(
            x=alt.X("x:O", title=None, axis=hidden),
            y=alt.Y("y:O", title=None, axis=hidden),
            color=alt.Color("activation:Q", title="Activation", scale=alt.Scale(scheme=SEQUENTIAL)),
        )
        .properties(width=_MAP, height=_MAP)
        .facet(
            row=alt.Row(
                "row:N",
                title=None,
                sort=cells["row"].unique(maintain_order=True).to_list(),
                header=alt.Header(labelAngle=0, labelAlign="left"),
            ),
            column=alt.Column("rank:O", title="Images by strongest cell"),
        )
    )
    caption = (
        f"Each layer's highest-ranked feature for {concept.name} over the image's soft tokens, on the test images "
        "where it fires most (left: strongest), in the stream's units. Correlational: image tokens attend to each "
        "other both ways."
    )
    return Figure(chart, caption)


def _causal(causal: pl.DataFrame, agreement: pl.DataFrame) -> Figure:
    title = "Rank correlation of map and causal map"
    real = causal.filter(pl.col("spearman").is_finite() & (pl.col("swap") == 0))
    single = real.select("layer", "feature", "image_id", "kind", "spearman")
    dots = alt.Chart(single).mark_point(size=24, opacity=0.45, filled=True, color=SERIES[5])
    dots = dots.encode(x=layer_x(), y=alt.Y("spearman:Q", title=title))
    base = alt.Chart(agreement).encode(x=layer_x())
    span = base.mark_rule(strokeWidth=2, color=SERIES[0]).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    means = base.mark_point(size=80, color=SERIES[0]).encode(y=alt.Y("spearman:Q", title=title))
    random = alt.Chart(agreement.filter(pl.col("random").is_finite())).encode(x=layer_x())
    random = random.mark_tick(thickness=3, size=24, color=CONTROLS[1]).encode(y=alt.Y("random:Q", title=title))
    caption = (
        f"How far a map shows what its feature depends on: Spearman's ρ over cells between the map and the fall of the "
        f"feature's summed activation when each cell's soft tokens are replaced "
        f"({', '.join(sorted(set(single['kind'].to_list())))}). Light: one feature on one image; dark: mean with 95 % "
        f"interval over images; grey: mean where random other images' cells are put in instead, which a replaced cell "
        f"reaches by the residual stream alone; dashed: 0."
    )
    return Figure((rule(0) + dots + random + span + means).properties(width=WIDTH, height=HEIGHT), caption)
