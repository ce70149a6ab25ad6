"""The figures of a catalogue: mean scores beside the frozen dictionary's, and the differences."""

import altair as alt
import polars as pl

from core.explain.metrics import CALLED, CORRELATION
from core.figures.theme import HALF, REFERENCE, Figure, by_panel, control_colour, only
from core.report.catalogue.collected import CatalogueReport

_OWN, _FROZEN = "trained SAEs", "frozen dictionary"
_ROW = 24
_MOST = 6
"""Scorers that have a panel."""


def figures(report: CatalogueReport) -> dict[str, Figure]:
    """The figures that the catalogue has something for."""
    whole = report.whole.filter(pl.col("n") > 0)
    scorers = whole["scorer"].unique(maintain_order=True).to_list()[:_MOST]
    scored = whole.filter(pl.col("scorer").is_in(scorers))
    found = {"scores": _scores(scored)} if scored.height else {}
    if scored["difference"].is_not_null().any():
        found["differences"] = _differences(scored.filter(pl.col("difference").is_not_null()))
    return found


def _scores(table: pl.DataFrame) -> Figure:
    own = table.select("explainer", "scorer", "metric", "chance", "mean", "low", "high", of=pl.lit(_OWN))
    floor = table.filter(pl.col("frozen_mean").is_not_null()).select(
        "explainer",
        "scorer",
        "metric",
        "chance",
        *(pl.col(f"frozen_{name}").alias(name) for name in ("mean", "low", "high")),
        of=pl.lit(_FROZEN),
    )
    rows = pl.concat([own, floor])
    colour = control_colour("of", [_OWN], [_FROZEN] if floor.height else [])
    colour = colour.legend(orient="top", title=None) if floor.height else colour.legend(None)
    least = min([0.0, *rows["low"].drop_nulls(), *rows["mean"]]) if CORRELATION in rows["metric"].to_list() else 0.0
    x = alt.X("mean:Q", title="Mean over features", scale=alt.Scale(domain=[round(least, 2), 1]))
    base = alt.Chart(rows).encode(y=_explainers(), yOffset=alt.YOffset("of:N", sort=[_OWN, _FROZEN]), color=colour)
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="Mean over features"), x2="high:Q")
    tip = ["explainer", "scorer", "of", alt.Tooltip("mean:Q", format=".3f")]
    dots = base.mark_circle(size=70, opacity=1).encode(x=x, tooltip=tip)
    chance = alt.Chart(rows).mark_rule(color=REFERENCE, strokeDash=[4, 3]).encode(x="mean(chance):Q")
    caption = (
        "Mean score over features, by explainer and scorer; examples of every kind and language together. Lines: 95 % "
        "intervals over features; dashed: chance, what a judge reaches that knows nothing."
    )
    if floor.height:
        caption += " Grey: the same of features of a dictionary whose decoder is random and frozen."
    return Figure(_panels(lines + dots + chance, rows), caption)


def _differences(table: pl.DataFrame) -> Figure:
    names = ("difference", "difference_low", "difference_high")
    rows = table.select("explainer", "scorer", "metric", *names)
    base = alt.Chart(rows).encode(y=_explainers())
    title = "Difference of the means"
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("difference_low:Q", title=title), x2="difference_high:Q")
    tip = ["explainer", "scorer", alt.Tooltip("difference:Q", format=".3f")]
    dots = base.mark_circle(size=70, opacity=1).encode(x=alt.X("difference:Q", title=title), tooltip=tip)
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=REFERENCE, strokeDash=[4, 3]).encode(x="zero:Q")
    panels = [
        only(lines + dots + zero, "scorer", scorer).properties(width=HALF, height=alt.Step(_ROW), title=name)
        for scorer, name in _names(rows).items()
    ]
    caption = (
        "Mean score of features of the trained SAEs less that of features of the frozen dictionary, by explainer and "
        "scorer. Lines: 95 % intervals over the features of both; dashed: no difference."
    )
    return Figure(alt.vconcat(*panels), caption)


def _explainers() -> alt.Y:
    return alt.Y("explainer:N", title=None, sort=None)


def _panels(chart: alt.LayerChart, rows: pl.DataFrame) -> alt.ConcatChart:
    """A panel per scorer, below each other: a telephone shows them as drawn."""
    return by_panel(chart.properties(width=HALF, height=alt.Step(_ROW)), "scorer", _names(rows), columns=1)


def _names(rows: pl.DataFrame) -> dict[str, str]:
    """The panels' titles by scorer."""
    pairs = rows.select("scorer", "metric").unique("scorer", maintain_order=True).rows()
    return {scorer: f"{scorer}: {CALLED.get(metric, metric)}" for scorer, metric in pairs}
