"""The amplification's figures: dose and response, slopes among their controls, what the other words pay."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.amplification.further_figures import further_figures, odds_title
from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import (
    BAND,
    HALF,
    HEIGHT,
    LANGUAGE_NAMES,
    WIDTH,
    Figure,
    by_panel,
    control_colour,
    language_colour,
    rule,
)

_DOSE = "Multiples of the 99.5th percentile when active"
_FEATURES, _RANDOM = "features", "random features"


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    if tables["response"].is_empty():
        return {}
    response = tables["response"]
    found = {"dose_response": _dose_response(response, concept), "slopes": _slopes(tables["slopes"])}
    return found | {"cost": _cost(response, concept)} | further_figures(tables, concept)


def _languages(table: pl.DataFrame) -> list[str]:
    return [language for language in ("en", "ar") if language in table["language"].unique().to_list()]


def _dose_response(response: pl.DataFrame, concept: Concept) -> Figure:
    side, odds = concept.sides[0], odds_title(concept)
    table = response.select("layer", "language", "vector", "dose", "log_odds", "low", "high", "out_of_range")
    base = alt.Chart(table).encode(x=alt.X("dose:Q", title="Dose"), color=language_colour(present=_languages(table)))
    own = base.transform_filter(alt.datum.vector == _FEATURES)
    band = own.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=odds), y2="high:Q")
    line = base.mark_line().encode(
        y=alt.Y("log_odds:Q", title=odds),
        strokeDash=alt.StrokeDash(
            "vector:N",
            title="Vector",
            scale=alt.Scale(domain=[_FEATURES, "difference of means"], range=[[1, 0], [6, 4]]),
        ),
    )
    outside = own.transform_filter("datum.out_of_range").mark_point(shape="cross", size=50).encode(y="log_odds:Q")
    chart = _by_layer(alt.layer(band, line, outside), response)
    caption = (
        f"Log odds of the {side} word at the first {concept.adjective} word, by dose ({_DOSE.lower()}); positive doses "
        f"push toward {side}. Band: 95 % interval over test images; dashed: difference of means, of the same length; "
        "crosses: the added vector is longer than the stream itself, out of range."
    )
    return Figure(chart, caption)


def _by_layer(panel: alt.Chart | alt.LayerChart | alt.FacetChart, response: pl.DataFrame) -> alt.ConcatChart:
    layers = response["layer"].unique(maintain_order=True).to_list()
    width = (WIDTH - 120) // min(len(layers), 3)
    sized = panel.properties(width=width, height=HEIGHT)
    chart = by_panel(sized, "layer", {layer: f"Layer {layer}" for layer in layers}, columns=3)
    shared: alt.ConcatChart = chart.resolve_scale(y="shared")
    return shared


def _slopes(slopes: pl.DataFrame) -> Figure:
    own = slopes.filter(pl.col("vector") == _FEATURES)
    chosen = own.select("layer", "language", "slope", "low", "high", pl.lit(_FEATURES).alias("set"))
    random = own.select(
        "layer",
        "language",
        pl.col("control").alias("slope"),
        pl.col("control_low").alias("low"),
        pl.col("control_high").alias("high"),
        pl.lit(_RANDOM).alias("set"),
    )
    table = pl.concat([chosen, random]).drop_nulls()
    panels = [_slope_panel(table.filter(pl.col("language") == name), name) for name in _languages(own)]
    caption = (
        "Slope of the log odds at dose 0, by layer and language: chosen features with the 95 % interval over images; "
        "grey: random feature sets of the same length, mean and central 95 % of the draws."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(y="shared"), caption)


def _slope_panel(table: pl.DataFrame, language: str) -> alt.LayerChart | alt.FacetChart:
    title = "Slope at dose 0 (nats per dose)"
    base = alt.Chart(table).encode(
        x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("set:N", sort=[_FEATURES, _RANDOM]),
        color=control_colour("set", [_FEATURES], [_RANDOM]),
    )
    span = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    points = base.mark_point().encode(y=alt.Y("slope:Q", title=title))
    return alt.layer(rule(0), span, points, width=HALF, height=HEIGHT, title=LANGUAGE_NAMES[language])


def _cost(response: pl.DataFrame, concept: Concept) -> Figure:
    table = response.filter(pl.col("vector") == _FEATURES).select(
        "layer", "language", "dose", "caption_ce", "relative_norm"
    )
    base = alt.Chart(table).encode(
        x=alt.X("dose:Q", title="Dose"),
        y=alt.Y("caption_ce:Q", title="Cross-entropy (nats per token)", scale=alt.Scale(zero=False)),
        color=language_colour(present=_languages(table)),
    )
    caption = (
        f"What steering costs: cross-entropy of the reference captions' words that tell no {concept.name}, "
        f"under the steered model, by dose ({_DOSE.lower()}), layer and language."
    )
    return Figure(_by_layer(base.mark_line(point=True), response), caption)
