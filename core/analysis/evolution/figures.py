"""The evolution's figures: births, deaths and persistence of features, and the layers' likeness."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.heat_map import layer_axis
from core.figures.theme import (
    BAND,
    CONTROLS,
    HALF,
    HEIGHT,
    LANGUAGE_NAMES,
    MEASURED,
    SEQUENTIAL,
    SERIES,
    WIDTH,
    Figure,
    by_panel,
    layer_x,
    rule,
)

THIRD = 2 * HALF // 3
_SHARE = alt.Scale(scheme=SEQUENTIAL, domain=[0, 1], clamp=True)


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    found = {"flow": _flow(tables["flow"]), "persistence": _persistence(tables["flow"], tables.get("ceiling"), concept)}
    if tables["survival"].height:
        found["survival"] = _survival(tables["survival"], concept)
    if tables["lifetimes"].height:
        found["lifetimes"] = _lifetimes(tables["lifetimes"])
    if tables["cka"].drop_nulls().height:
        found["cka"] = _cka(tables["cka"])
    return found


def _flow(flow: pl.DataFrame) -> Figure:
    parts = {"have a match": "matched", "are born": "births", "die": "deaths"}
    table = pl.concat(
        [
            flow.select(
                "next_layer",
                pl.lit(name).alias("what"),
                (pl.col(column) * (-1 if name == "die" else 1)).cast(pl.Int64).alias("features"),
            )
            for name, column in parts.items()
        ]
    )
    colour = alt.Color(
        "what:N",
        title="Features that",
        scale=alt.Scale(domain=list(parts), range=[CONTROLS[1], SERIES[2], SERIES[1]]),
    )
    bars = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("next_layer:O", axis=layer_axis(flow["next_layer"], "Layer (against the one before)")),
            y=alt.Y("features:Q", title="Features"),
            color=colour,
            order=alt.Order("what:N", sort="descending"),
        )
    )
    return Figure(
        (bars + rule(0)).properties(width=WIDTH, height=HEIGHT),
        "Live features of each layer: those with a match in the layer before, those without (born), and below zero "
        "those of the layer before that have no match here (die). A match is mutual nearest in activation and above "
        "the 99.9th percentile of permuted rows.",
    )


def _persistence(flow: pl.DataFrame, ceiling: pl.DataFrame | None, concept: Concept) -> Figure:
    names = {
        "persistence": "all live features",
        "ranked_persistence": "highest-ranked",
        "control_persistence": "matched",
    }
    spans = {
        "persistence": ("persistence_low", "persistence_high"),
        "control_persistence": ("control_low", "control_high"),
    }
    known = "No seed ceiling was measured: two SAEs of one layer would not share all features either."
    if ceiling is not None:
        across = ("across_share", "across_low", "across_high")
        beside = ceiling.select("layer", "share", *across, share_low="low", share_high="high")
        flow = flow.join(beside, on="layer", how="left")
        names |= {"share": "second SAE of the layer", "across_share": "second SAE of the next"}
        spans |= {"share": ("share_low", "share_high"), "across_share": ("across_low", "across_high")}
        known = (
            "Second SAEs start from another seed; the first ones all start from the same directions, which by itself "
            "makes layers match. A second SAE of the layer itself is the ceiling (bands: Wilson intervals)."
        )
    none = pl.lit(None, pl.Float64)
    parts = []
    for column, name in names.items():
        low, high = (pl.col(end).cast(pl.Float64) for end in spans[column]) if column in spans else (none, none)
        share = pl.col(column).cast(pl.Float64).alias("share")
        parts.append(flow.select("layer", pl.lit(name).alias("which"), share, low.alias("low"), high.alias("high")))
    shown = pl.concat(parts).filter(pl.col("share").is_finite())
    domain = alt.Scale(
        domain=list(names.values()), range=[SERIES[0], MEASURED, CONTROLS[1], CONTROLS[0], SERIES[2]][: len(names)]
    )
    title = "Matched in the next layer (%)"
    y_axis = alt.Axis(format="%")
    base = alt.Chart(shown).encode(x=layer_x(), color=alt.Color("which:N", title="", scale=domain))
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(y=alt.Y("share:Q", title=title, axis=y_axis))
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    return Figure(
        (band + line).properties(width=WIDTH, height=HEIGHT),
        "Share of a layer's live features with a match in the next layer (band: 95 % Wilson interval over features), "
        f"of those that rank highest for {concept.name} on selection images, and of features of the layer that fire "
        f"as often (band: central 95 % of random draws). {known}",
    )


def _survival(survival: pl.DataFrame, concept: Concept) -> Figure:
    names = {"all": "All live features", "ranked": "Highest-ranked features", "matched": "Features that fire as often"}
    table = survival.select(pl.col("features").replace(names), "layer", "later_layer", "share")
    chart = (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("later_layer:O", axis=layer_axis(table["later_layer"], "Later layer")),
            y=alt.Y("layer:O", axis=layer_axis(table["layer"])),
            color=alt.Color("share:Q", title="Still there", scale=_SHARE, legend=alt.Legend(format="%")),
            tooltip=["layer", "later_layer", alt.Tooltip("share:Q", format=".0%")],
        )
        .properties(width=THIRD, height=THIRD)
        .facet(column=alt.Column("features:N", title=None, sort=list(names.values())))
    )
    return Figure(
        chart,
        "Share of a layer's features whose chain of matches reaches a later layer: all live ones, those that rank "
        f"highest for {concept.name} on selection images, and features of the same layer that fire as often.",
    )


def _lifetimes(lifetimes: pl.DataFrame) -> Figure:
    parts = {
        "whole": pl.col("tracks") - pl.col("cut_short"),
        "cut short by the first or last layer": pl.col("cut_short"),
    }
    table = pl.concat(
        [
            lifetimes.select("lifetime", pl.lit(name).alias("seen"), value.cast(pl.Int64).alias("tracks"))
            for name, value in parts.items()
        ]
    )
    lengths = pl.Series(range(1, int(lifetimes["lifetime"].max() or 1) + 1))  # type: ignore[arg-type]
    colour = alt.Color("seen:N", title="Seen", scale=alt.Scale(domain=list(parts), range=[SERIES[0], CONTROLS[1]]))
    chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(
                "lifetime:O",
                axis=layer_axis(lengths, "Lifetime (measured layers)"),
                scale=alt.Scale(domain=lengths.to_list()),
            ),
            y=alt.Y("tracks:Q", title="Chains of matched features"),
            color=colour,
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    return Figure(
        chart,
        "How many measured layers a feature lasts, followed by its matches. Grey: chains that begin in the first "
        "layer or end in the last one, which may be longer.",
    )


def _spelled(place: str) -> str:
    """`captions (en)` with the language's name."""
    for code, name in LANGUAGE_NAMES.items():
        place = place.replace(f"({code})", f"({name})")
    return place


def _cka(cka: pl.DataFrame) -> Figure:
    places = cka["place"].unique(maintain_order=True).to_list()
    panel = (
        alt.Chart(cka.drop_nulls().select("place", "layer", "other_layer", pl.col("cka").round(4)))
        .mark_rect()
        .encode(
            x=alt.X("layer:O", axis=layer_axis(cka["layer"])),
            y=alt.Y("other_layer:O", axis=layer_axis(cka["other_layer"])),
            color=alt.Color("cka:Q", title="CKA", scale=_SHARE),
            tooltip=["layer", "other_layer", "cka"],
        )
        .properties(width=HALF, height=HALF)
    )
    chart = by_panel(panel, "place", {place: _spelled(place) for place in places})
    images = int(cka["images"].max() or 0)  # type: ignore[arg-type]
    return Figure(
        chart,
        f"Debiased linear CKA between the layers' streams, averaged over the tokens of each of {images:,} images; 1 "
        "is the same geometry, 0 none in common. Dimensions of massive variance are standardised first.",
    )
