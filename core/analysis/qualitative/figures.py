"""The gallery's figure: how often generated captions change gender. The gallery itself is drawn by the report."""

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from core.figures.theme import HEIGHT, WIDTH, Figure, language_colour

_NAMES = {
    "ablated": "chosen|features|taken out",
    "random": "random|features|taken out",
    "amplified": "chosen|features|turned up",
    "random_amplified": "random|features|turned up",
}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    changes = tables.get("changes", pl.DataFrame())
    return {"changes": _changes(changes)} if changes.height else {}


def _changes(changes: pl.DataFrame) -> Figure:
    languages = [language for language in ("en", "ar") if language in changes["language"].to_list()]
    table = changes.with_columns(pl.col("condition").replace_strict(_NAMES).alias("what"))
    base = alt.Chart(table.select("language", "what", "rate", "low", "high")).encode(
        x=alt.X(
            "what:N",
            title=None,
            sort=[name for name in _NAMES.values() if name in set(table["what"])],
            axis=alt.Axis(labelAngle=0, labelOverlap=False, labelExpr="split(datum.label, '|')"),
        ),
        xOffset=alt.XOffset("language:N", sort=languages),
    )
    title = "Captions that change gender (share)"
    scale = alt.Scale(domain=[0, 1])
    bars = base.mark_bar().encode(
        y=alt.Y("rate:Q", title=title, scale=scale, axis=alt.Axis(format="%")),
        color=language_colour(present=languages),
    )
    spans = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q")
    counts = changes["images"].to_list()
    caption = (
        f"Share of greedily generated captions that speak of the other gender than the clean caption does, with Wilson "
        f"95 % intervals, n = {_span(counts)} test images per bar. The intervention is in force while "
        f"the prompt is read and at every step; matched random sets, taken out or added, are the controls."
    )
    return Figure((bars + spans).properties(width=WIDTH, height=HEIGHT), caption)


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
