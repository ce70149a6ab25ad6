"""The overview's figures: the concept's emergence, the features that carry it, the SAEs' quality."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.concept import Concept, capitalised
from core.data.known_concepts import THE_CONCEPT
from core.figures.heat_map import LANGUAGES, layer_axis, spelled
from core.figures.theme import (
    BAND,
    DIVERGING,
    HALF,
    HEIGHT,
    REFERENCE,
    SERIES,
    WIDTH,
    Figure,
    by_panel,
    language_colour,
    layer_x,
    position_colour,
    rule,
)

_METHODS = ["difference of means", "LDA", "logistic", "1 feature", "5 features", "20 features"]
_SPLITS = ["train", "test"]
_PANELS = [*LANGUAGES, "Shared"]
_LINES = ("en", "ar", "shared")


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    found: dict[str, Figure] = {}
    emergence, counted = tables["emergence"], _counted(tables)
    if emergence.height:
        found["emergence"] = _emergence(emergence, counted, concept)
    if emergence.filter("decision").height:
        found["probes"] = _probes(emergence.filter("decision"), counted, concept)
    if tables["top_features"].height:
        found["top_features"] = _top_features(tables["top_features"], counted, concept)
    if tables["associations"].height:
        found["discoveries"] = _discoveries(tables["associations"], counted, concept)
    found["quality"] = _quality(tables["quality"], counted)
    if "splice" in tables and tables["splice"].height:
        found["splice"] = _splice(tables["splice"], counted)
    return found


def _counted(tables: Mapping[str, pl.DataFrame]) -> str:
    """What is counted: images, or the items of a study of text only."""
    return "images" if "image" in tables["quality"]["segment"].to_list() else "items"


def _order(concept: Concept) -> list[str]:
    """The position sets in reading order, those in no statistic left out."""
    return list(concept.position_sets[:-1])


def _languages(table: pl.DataFrame) -> list[str]:
    return [language for language in _LINES if language in table["language"].unique().to_list()]


def _emergence(emergence: pl.DataFrame, counted: str, concept: Concept) -> Figure:
    table = emergence.filter(pl.col("method") == "logistic").select(
        "layer", "language", "position_set", "auroc", "low", "high", "shuffled_high"
    )
    table = table.with_columns(pl.lit(0.5).alias("chance"))
    base = alt.Chart(table).encode(x=layer_x())
    colour = language_colour(present=_languages(table))
    scale = alt.Scale(domain=[min(0.35, float(table["low"].min() or 0.35)), 1], nice=False)  # type: ignore[arg-type]
    null = base.mark_line(color=REFERENCE, strokeDash=[2, 2], strokeWidth=1).encode(
        y=alt.Y("max(shuffled_high):Q", title="AUROC on the test split", scale=scale)
    )
    chance = base.mark_line(color=REFERENCE, strokeDash=[4, 3], strokeWidth=1).encode(y=alt.Y("chance:Q", scale=scale))
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour)
    measured = base.encode(y=alt.Y("auroc:Q", scale=scale), color=colour)
    lines = _lines(measured, "language", _languages(table))
    present = [name for name in _order(concept) if name in table["position_set"].unique().to_list()]
    panel = alt.layer(chance, null, band, *lines).properties(width=HALF, height=HALF * 2 // 3)
    chart = by_panel(panel, "position_set", {name: name for name in present})
    return Figure(
        chart,
        f"How well the caption's {concept.name} is read off the residual stream by a logistic probe, by layer, "
        f"language and position set; trained on train {counted}, scored on test {counted} (shared: rows that are the "
        f"same in every language). Band: 95 % interval over {counted}, twins drawn together. Dashed: chance; dotted: "
        "97.5th percentile with the test labels shuffled, layer by layer. Only the last prompt token and the caption "
        f"before {concept.name} is spoken speak of emergence; from which layer on is decided over the whole curve.",
    )


def _probes(emergence: pl.DataFrame, counted: str, concept: Concept) -> Figure:
    methods = [name for name in _METHODS if name in emergence["method"].unique().to_list()]
    table = emergence.filter(pl.col("method").is_in(methods)).select(
        "layer", "language", "position_set", "method", "auroc"
    )
    table = spelled(table)
    colour = alt.Color("method:N", title="Reading", scale=alt.Scale(domain=methods, range=list(SERIES)))
    line = (
        alt.Chart(table)
        .mark_line(strokeWidth=1.6)
        .encode(
            x=layer_x(),
            y=alt.Y("auroc:Q", title="AUROC on the test split", scale=alt.Scale(zero=False)),
            color=colour,
        )
    )
    chart = line.properties(width=HALF, height=HALF * 2 // 3).facet(
        column=alt.Column("position_set:N", title=None, sort=_order(concept)),
        row=alt.Row("language:N", title=None, sort=_PANELS),
    )
    return Figure(
        chart,
        f"{capitalised(concept.name)} read by a single direction, by a probe on the whole stream and by sparse probes "
        f"on 1, 5 and 20 SAE features (chosen on train {counted}), on test {counted}. Where a few features do as well "
        f"as the stream, the SAE has {concept.name} in few features.",
    )


def _top_features(top: pl.DataFrame, counted: str, concept: Concept) -> Figure:
    decision = top.filter(pl.col("position_set").is_in(list(concept.decision_sets)))
    table = decision if decision.height else top.filter(pl.col("position_set") == concept.positions.first)
    table = table.select("layer", "rank", "feature", "language", "position_set", "auroc", "low", "high", "q")
    table = spelled(table).with_columns(pl.col("auroc", "low", "high").round(3), pl.col("q").round(5))
    most = int(table["rank"].max() or 1)  # type: ignore[arg-type]
    chart = (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("layer:O", axis=layer_axis(table["layer"])),
            y=alt.Y("rank:O", title="Rank on the selection split"),
            color=alt.Color(
                "auroc:Q",
                title="AUROC",
                scale=alt.Scale(scheme=DIVERGING, domain=[0, 1], domainMid=0.5),
            ),
            tooltip=["layer", "feature", "auroc", "low", "high", "q"],
        )
        .properties(width=HALF, height=max(60, 9 * most))
        .facet(
            column=alt.Column("position_set:N", title=None, sort=_order(concept)),
            row=alt.Row("language:N", title=None, sort=_PANELS),
        )
    )
    return Figure(
        chart,
        f"The features of each layer that rank first by association with the caption's {concept.name} on the selection "
        f"split, and their AUROC on test {counted} (above ½: more active on {concept.sides[0]} captions). Empty cells "
        "are features that could not be tested there.",
    )


def _discoveries(associations: pl.DataFrame, counted: str, concept: Concept) -> Figure:
    keys = ["layer", "position_set", "language"]
    table = associations.group_by(keys).agg((pl.col("q") <= 0.05).mean().alias("share")).sort(keys)
    present = [name for name in _order(concept) if name in table["position_set"].unique().to_list()]
    table = spelled(table)
    base = alt.Chart(table).encode(
        x=layer_x(),
        y=alt.Y("share:Q", title="Features found (% of those tested)", axis=alt.Axis(format="%")),
        color=position_colour("position_set", concept.position_sets, present),
    )
    panel = alt.layer(*_lines(base, "position_set", present)).properties(width=HALF, height=HALF)
    chart = panel.facet(column=alt.Column("language:N", title=None, sort=_PANELS))
    return Figure(
        chart,
        f"Share of tested features whose activity is associated with the caption's {concept.name} at a false discovery "
        f"rate of 5 % over all features, layers and languages of one question (before {concept.name} is spoken, on the "
        f"picture, on the {concept.adjective} words). Tested over test {counted}; shared: rows that are the same in "
        "every language.",
    )


def _lines(base: alt.Chart, field: str, values: list[str]) -> list[alt.Chart]:
    """A line per value, each narrower than those drawn before it: one behind another shows on both of its sides."""
    step = 2.2 / max(len(values) - 1, 1)
    return [
        base.transform_filter(alt.FieldEqualPredicate(field=field, equal=value)).mark_line(
            strokeWidth=3.4 - step * place
        )
        for place, value in enumerate(values)
    ]


def _quality(quality: pl.DataFrame, counted: str) -> Figure:
    table = quality.filter(pl.col("split").is_in(_SPLITS), segment="all").select("layer", "split", "fvu")
    colour = alt.Color("split:N", title="Split", scale=alt.Scale(domain=_SPLITS, range=[REFERENCE, SERIES[0]]))
    y = alt.Y("fvu:Q", title="Variance unexplained (%)", axis=alt.Axis(format="%", tickCount=5))
    line = alt.Chart(table).mark_line(point=alt.OverlayMarkDef(size=18)).encode(x=layer_x(), y=y, color=colour)
    return Figure(
        line.properties(width=WIDTH, height=HEIGHT * 2 // 3),
        "Share of variance that each layer's SAE leaves unexplained on all its tokens (control tokens left out), on "
        f"the {counted} it was trained on and on test {counted}, which took part in no choice.",
    )


def _splice(splice: pl.DataFrame, counted: str) -> Figure:
    base = alt.Chart(splice.select("layer", "language", "delta_ce", "delta_ce_low", "delta_ce_high")).encode(
        x=layer_x(), color=language_colour(present=_languages(splice))
    )
    title = "Change of caption loss (nats per token)"
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(y=alt.Y("delta_ce:Q", title=title))
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("delta_ce_low:Q", title=title), y2="delta_ce_high:Q")
    images = int(splice["images"].max() or 0)  # type: ignore[arg-type]
    return Figure(
        (rule(0) + band + line).properties(width=WIDTH, height=HEIGHT),
        "How the captions' loss changes when the layer's stream is replaced by the SAE's reconstruction on image, "
        f"prompt and caption tokens. Band: 95 % interval over {images} test {counted}; dashed: no change.",
    )
