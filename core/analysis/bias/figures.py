"""The bias's figures: rates by group, generated captions by group, and the probe over layers."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.bias.readable import ASKED, PLANTED
from core.data.languages import LANGUAGE_NAMES
from core.figures.theme import BAND, CONTROLS, HALF, LANGUAGES, REFERENCE, Figure, by_panel, layer_x, rule

_Layered = alt.LayerChart | alt.FacetChart
_TITLES = {ASKED: "ρ with P(female)", PLANTED: "ρ with planted rates"}
MOST = 30
"""Groups drawn at most, those of most images."""


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found: dict[str, Figure] = {}
    rates = tables["rates"]
    if rates.height:
        column = rates["column"][0]
        found["rates"] = _by_group(_asked(rates.filter(column=column)), column, _RATES)
        for other in rates["column"].unique(maintain_order=True).to_list()[1:]:
            found[f"rates_{other}"] = _by_group(_asked(rates.filter(column=other)), other, _RATES)
    shares = tables["shares"].drop_nulls("share")
    if shares.height:
        column = shares["column"][0]
        found["shares"] = _by_group(shares.filter(column=column).rename({"share": "value"}), column, _SHARES)
    if tables["readable"].height:
        found["readable"] = _readable(tables["readable"])
    return found


_AXIS = alt.Axis(labelOverlap=False, labelExpr="replace(datum.label, /_/g, ' ')")
_RATES = (
    "P(female) / P(female or male)",
    "P(female) among either gender's words at the caption's first gendered word, by {}, on pictures that do not "
    "show the gender. Bars: 95 % interval over images of the group.",
)
_SHARES = (
    "Share of female captions",
    "Share of generated captions that tell female, of those that tell one gender, by {}, on pictures that do "
    "not show the gender. Bars: Wilson's 95 % interval.",
)


def _asked(rates: pl.DataFrame) -> pl.DataFrame:
    columns = {"rate": "value", "rate_low": "low", "rate_high": "high"}
    return rates.rename(columns)


def _by_group(table: pl.DataFrame, column: str, words: tuple[str, str]) -> Figure:
    """One row per group, both languages beside each other, in the order of the planted rate or of the mean."""
    title, caption = words
    size = "units" if "units" in table.columns else "captions"
    known = table["planted"].is_not_null().any()
    order = table.group_by("group").agg(pl.col(size).sum(), pl.col("value", "planted").mean())
    kept = order.sort(size, "group", descending=[True, False]).head(MOST)
    ordered = kept.sort("planted" if known else "value", "group")["group"].to_list()
    drawn = table.filter(pl.col("group").is_in(ordered)).select("group", "language", "value", "low", "high", "planted")
    present = [code for code in LANGUAGE_NAMES if code in drawn["language"].unique().to_list()]
    colour = alt.Color(
        "language:N", scale=alt.Scale(domain=present, range=[LANGUAGES[code] for code in present]), legend=None
    )
    y = alt.Y("group:N", title=column.replace("_", " ").capitalize(), sort=ordered, axis=_AXIS)
    x_title, scale = title, alt.Scale(domain=[0, 1])
    base = alt.Chart(drawn).encode(y=y)
    span = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", title=x_title, scale=scale), x2="high:Q", color=colour
    )
    point = base.mark_point(size=50).encode(x=alt.X("value:Q", title=x_title, scale=scale), color=colour)
    layers = [span, point]
    if known:
        tick = base.mark_tick(color="black", thickness=2, size=11)
        layers.insert(0, tick.encode(x=alt.X("planted:Q", title=x_title, scale=scale)))
        caption += " Black ticks: the planted rate."
    if len(order) > MOST:
        caption += f" The {MOST} values of most images."
    half = (
        alt.Chart(pl.DataFrame({"reference": [0.5]}))
        .mark_rule(color=REFERENCE, strokeDash=[4, 3])
        .encode(x="reference:Q")
    )
    panel = alt.layer(half, *layers, width=HALF - 40, height=alt.Step(15))
    return Figure(by_panel(panel, "language", {code: LANGUAGE_NAMES[code] for code in present}), caption.format(column))


def _readable(table: pl.DataFrame) -> Figure:
    """Above, the probe on pictures that show the concept; below, on pictures that do not."""
    sets = table["position_set"].unique(maintain_order=True).to_list()
    parts = []
    for against in [name for name in (ASKED, PLANTED) if name in table["against"].unique().to_list()]:
        parts.append(_panels(_rho(table.filter(against=against), _TITLES[against]), sets, "not shown"))
    seen = table.filter(against=ASKED).drop_nulls("auroc")
    if seen.height:
        parts.insert(0, _panels(_auroc(seen), sets, "shown"))
    return Figure(
        alt.vconcat(*parts),
        "First row: AUROC of the probe for the visible gender on test pictures that show it. Rows below, another "
        "question: Spearman's rho, over groups, of the same probe's mean score on pictures that do not show it, with "
        "P(female) at the first word and with the planted rate. Bands: 95 % intervals (images; groups, then images). "
        "Dotted: central 95 % of permutations of groups, layer by layer.",
    )


def _auroc(table: pl.DataFrame) -> _Layered:
    base = alt.Chart(table.select("layer", "language", "position_set", "auroc", "auroc_low", "auroc_high"))
    scale, title = alt.Scale(zero=False), "AUROC"
    return _layers(base, ("auroc", "auroc_low", "auroc_high"), title, scale) + rule(0.5)


def _rho(table: pl.DataFrame, title: str) -> _Layered:
    names = ["value", "low", "high", "permuted_low", "permuted_high"]
    base = alt.Chart(table.select("layer", "language", "position_set", *names))
    scale = alt.Scale(domain=[-1, 1])
    chart = _layers(base, ("value", "low", "high"), title, scale) + rule(0)
    for end in ("permuted_low", "permuted_high"):
        dotted = base.mark_line(color=CONTROLS[0], strokeDash=[2, 2], strokeWidth=1)
        chart = chart + dotted.encode(x=layer_x(), y=alt.Y(f"{end}:Q", title=title, scale=scale), detail="language:N")
    return chart


def _layers(base: alt.Chart, names: tuple[str, str, str], title: str, scale: alt.Scale) -> _Layered:
    value, low, high = names
    colour = alt.Color(
        "language:N",
        title="Language",
        scale=alt.Scale(domain=list(LANGUAGE_NAMES), range=[LANGUAGES[code] for code in LANGUAGE_NAMES]),
        legend=alt.Legend(
            labelExpr=" : ".join(f"datum.value === '{c}' ? '{n}'" for c, n in LANGUAGE_NAMES.items()) + " : datum.label"
        ),
    )
    band = base.mark_area(opacity=BAND).encode(
        x=layer_x(), y=alt.Y(f"{low}:Q", title=title, scale=scale), y2=f"{high}:Q", color=colour
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=20)).encode(
        x=layer_x(), y=alt.Y(f"{value}:Q", title=title, scale=scale), color=colour
    )
    return alt.layer(band, line)


def _panels(chart: _Layered, sets: list[str], kind: str) -> alt.ConcatChart:
    names = {name: f"{name}, {kind}" for name in sets}
    return by_panel(chart.properties(width=HALF, height=HALF * 3 // 5), "position_set", names)
