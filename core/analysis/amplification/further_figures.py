"""Figures of the parts that a study asks for: curves by vector, slopes by vector, effect against fluency."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.amplification.prompting import PROMPTING
from core.causal.steering_vectors import COVARIANCE, ISOTROPIC
from core.data.concept import Concept
from core.figures.theme import BAND, CONTROLS, HALF, HEIGHT, LANGUAGE_NAMES, SERIES, Figure, rule

_COST = "Cross-entropy under the clean model, change (nats per token)"


def further_figures(tables: Mapping[str, pl.DataFrame], concept: Concept) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found = {}
    if "vector_response" in tables and tables["vector_response"].height:
        found["vectors"] = _vectors(tables["vector_response"], concept)
        found["vector_slopes"] = _slopes(tables["vector_slopes"])
    if "fluency" in tables and tables["fluency"].height:
        found["effect_and_fluency"] = _effect(tables["fluency"], tables.get("prompting"), concept)
    return found


def odds_title(concept: Concept) -> str:
    """The title of the axis of log odds."""
    one, other = concept.sides
    return f"log p({one} word) − log p({other} word) (nats)"


def _languages(table: pl.DataFrame) -> list[str]:
    return [language for language in LANGUAGE_NAMES if language in table["language"].unique().to_list()]


def _is_random(column: str = "vector") -> pl.Expr:
    return pl.any_horizontal(pl.col(column).str.starts_with(kind) for kind in (ISOTROPIC, COVARIANCE))


def _vectors(response: pl.DataFrame, concept: Concept) -> Figure:
    table = response.select("language", "vector", "dose", "log_odds", "low", "high", "out_of_range")
    names = table.filter(~_is_random())["vector"].unique(maintain_order=True).to_list()
    panels = [
        _curves(table.filter(language=language), names, language, odds_title(concept)) for language in _languages(table)
    ]
    layer = response["layer"][0]
    caption = (
        f"Log odds of the {concept.sides[0]} word at the first {concept.adjective} word, by dose, when one vector is "
        f"added to layer {layer}; all are as long as the features' vector at the same dose, and point toward "
        f"{concept.sides[0]}. Band: 95 % interval over "
        "test images (features alone); grey: random directions, isotropic and drawn from the stream's covariance; "
        "crosses: the added vector is longer than the stream itself, out of range."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(y="shared"), caption)


def _curves(table: pl.DataFrame, names: list[str], language: str, odds: str) -> alt.LayerChart | alt.FacetChart:
    x, y = alt.X("dose:Q", title="Dose"), alt.Y("log_odds:Q", title=odds)
    scale = alt.Scale(domain=names, range=[SERIES[number % len(SERIES)] for number in range(len(names))])
    random = alt.Chart(table.filter(_is_random())).mark_line(color=CONTROLS[1], strokeWidth=1)
    grey = random.encode(x=x, y=y, detail="vector:N")
    own = alt.Chart(table.filter(~_is_random())).encode(x=x, color=alt.Color("vector:N", title="Vector", scale=scale))
    first = own.transform_filter(alt.datum.vector == names[0])
    band = first.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=odds), y2="high:Q")
    outside = own.transform_filter("datum.out_of_range").mark_point(shape="cross", size=40).encode(y=y)
    layers = (grey, band, own.mark_line().encode(y=y), outside)
    return alt.layer(*layers, width=HALF, height=HEIGHT, title=LANGUAGE_NAMES[language])


def _slopes(slopes: pl.DataFrame) -> Figure:
    panels = [_slope_panel(slopes.filter(language=language), language) for language in _languages(slopes)]
    caption = (
        "Slope of the log odds at dose 0 by vector, all of one length: 95 % interval over test images. Grey: central "
        "95 % of random directions, isotropic (light) and drawn from the stream's covariance (dark)."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(x="shared"), caption)


def _slope_panel(slopes: pl.DataFrame, language: str) -> alt.LayerChart | alt.FacetChart:
    title = "Slope at dose 0 (nats per dose)"
    order = slopes["vector"].to_list()
    y = alt.Y("vector:N", title=None, sort=order)
    base = alt.Chart(slopes.drop("p", "q")).encode(y=y)
    wide = base.mark_rule(color=CONTROLS[0], strokeWidth=5).encode(
        x=alt.X("covariance_low:Q", title=title), x2="covariance_high:Q"
    )
    narrow = base.mark_rule(color=CONTROLS[1], strokeWidth=9).encode(
        x=alt.X("isotropic_low:Q", title=title), x2="isotropic_high:Q"
    )
    span = base.mark_rule(color=SERIES[0], strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point(color=SERIES[0]).encode(x=alt.X("slope:Q", title=title))
    layers = (narrow, wide, span, points)
    return alt.layer(*layers, width=HALF, height=alt.Step(22), title=LANGUAGE_NAMES[language])


def _effect(fluency: pl.DataFrame, prompting: pl.DataFrame | None, concept: Concept) -> Figure:
    """Change of what is said against its cost, a point per dose."""
    keys = ["language", "dose", "out_of_range"]
    said = fluency.filter(measure=concept.sides[0]).select(
        *keys, *((pl.col(name).fill_null(0) * 100).alias(f"said_{name}") for name in ("change", "control"))
    )
    cost = fluency.filter(measure="ce_other").select(
        *keys, *(pl.col(name).fill_null(0).alias(f"cost_{name}") for name in ("change", "control"))
    )
    told = (
        pl.when(pl.col("out_of_range") | (pl.col("dose") == 0))
        .then(pl.lit(""))
        .otherwise(pl.col("dose").cast(pl.String))
    )
    named = told.str.replace("-", "−").str.replace(r"\.0$", "").alias("named")
    table = said.join(cost, on=keys, maintain_order="left").sort("language", "dose").with_columns(named)
    asked = pl.DataFrame()
    if prompting is not None and prompting.height:
        asked = prompting.filter(method=PROMPTING).select("language", pl.col("said") * 100, "cost").drop_nulls()
    panels, those = [], concept.those(concept.sides[0])
    said_title = f"Captions of {those}, change (percentage points)"
    for language in _languages(table):
        own = asked.filter(language=language) if asked.height else asked
        panels.append(_effect_panel(table.filter(language=language), own, language, said_title))
    caption = (
        f"Generated captions at layer {fluency['layer'][0]}: change of the share that speaks of {those} alone (up) "
        f"against the change of the cross-entropy, under the clean model, of their words that tell no {concept.name} "
        "(right), by dose (numbers, where in range). Grey: mean of random vectors of the same length; crosses: out of "
        "range"
        + (f"; diamond: an instruction that asks for {concept.one or concept.sides[0]}." if asked.height else ".")
    )
    return Figure(alt.hconcat(*panels).resolve_scale(x="shared", y="shared"), caption)


def _effect_panel(
    table: pl.DataFrame, asked: pl.DataFrame, language: str, said_title: str
) -> alt.LayerChart | alt.FacetChart:
    x, y = alt.X("cost_change:Q", title=_COST), alt.Y("said_change:Q", title=said_title)
    base = alt.Chart(table).encode(x=x, y=y, order="dose:Q")
    random = alt.Chart(table).encode(
        x=alt.X("cost_control:Q", title=_COST), y=alt.Y("said_control:Q", title=said_title), order="dose:Q"
    )
    layers = [
        rule(0),
        random.mark_line(color=CONTROLS[1], strokeDash=[4, 3], point=alt.OverlayMarkDef(color=CONTROLS[1])),
        base.mark_line(color=SERIES[0], point=True),
        base.transform_filter("datum.out_of_range").mark_point(shape="cross", size=60, color=SERIES[0]),
        base.mark_text(dx=9, dy=-8, align="left", fontSize=10).encode(text="named:N"),
    ]
    if asked.height:
        mark = alt.Chart(asked).mark_point(shape="diamond", size=90, color=SERIES[1])
        layers.append(mark.encode(x=alt.X("cost:Q", title=_COST), y=alt.Y("said:Q", title=said_title)))
    return alt.layer(*layers, width=HALF, height=HEIGHT, title=LANGUAGE_NAMES[language])
