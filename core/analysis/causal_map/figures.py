"""The causal map, what features carry of the decision, and what they do across languages."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.causal_map.asking import FIRST, LATER
from core.analysis.causal_map.carried import FROZEN, SAE
from core.figures.heat_map import layer_axis
from core.figures.theme import (
    DIVERGING,
    HALF,
    INK,
    LANGUAGE_NAMES,
    ON_PALE,
    REFERENCE,
    SERIES,
    Figure,
    language_colour,
    only,
)
from core.stats.families import ALPHA

_EFFECT = "Shift toward the other gender (nats)"
_OUTCOMES = {FIRST: "the first gendered word", LATER: "a later gendered word"}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found: dict[str, Figure] = {}
    for outcome, name in ((FIRST, "map"), (LATER, "map_later")):
        cells = tables["map"].filter(outcome=outcome)
        if cells.height:
            found[name] = _map(cells, outcome)
    if tables["carried"].height:
        found["carried"] = _carried(tables["carried"])
    if tables["crossed"].height:
        found["crossed"] = _crossed(tables["crossed"])
    return found


def _map(cells: pl.DataFrame, outcome: str) -> Figure:
    languages = [language for language in ("en", "ar") if language in cells["language"].to_list()]
    order = cells["positions"].unique(maintain_order=True).to_list()
    limit = max(float(cells["effect"].abs().max() or 0), 1e-9)  # type: ignore[arg-type]
    panels = [_panel(cells.filter(language=language), language, order, limit) for language in languages]
    images = max(cells["images"].to_list())
    caption = (
        f"Shift of {_OUTCOMES[outcome]} toward the other gender, in nats, when the residual stream after a layer is "
        f"replaced by the gender twin's at one position set; means over up to {images} test images. Ring: q ≤ 0.05 "
        "over the whole map, against other pictures of the same gender, and the 95 % interval leaves 0 out."
    )
    return Figure(alt.hconcat(*panels), caption)


def _panel(cells: pl.DataFrame, language: str, order: list[str], limit: float) -> alt.LayerChart | alt.FacetChart:
    sure = (pl.col("q") <= ALPHA) & ((pl.col("low") > 0) | (pl.col("high") < 0))
    table = cells.select("layer", "positions", "effect", sure.fill_null(False).alias("sure"))
    scale = alt.Scale(scheme=DIVERGING, domain=[-limit, limit], domainMid=0)
    base = alt.Chart(table).encode(
        x=alt.X("layer:O", axis=layer_axis(table["layer"])),
        y=alt.Y("positions:N", title=None, sort=order, scale=alt.Scale(domain=order)),
    )
    squares = base.mark_rect().encode(color=alt.Color("effect:Q", title="Nats", scale=scale))
    numbers = base.mark_text(fontSize=9.5, color=ON_PALE).encode(text=alt.Text("effect:Q", format=".1f"))
    rings = base.transform_filter("datum.sure").mark_point(
        shape="square", size=620, filled=False, strokeWidth=1.2, color=INK
    )
    return alt.layer(squares, numbers, rings, width=HALF, height=alt.Step(30), title=LANGUAGE_NAMES[language])


def _carried(carried: pl.DataFrame) -> Figure:
    table = carried.filter(pl.col("share").is_not_null())
    order = table.filter(dictionary=SAE)["swapped"].unique(maintain_order=True).to_list()
    columns = ("language", "dictionary", "swapped", "share", "share_low", "share_high")
    present = [name for name in (SAE, FROZEN) if name in table["dictionary"].to_list()]
    scale = alt.Scale(domain=present, range=list(SERIES[: len(present)]))
    base = alt.Chart(table.select(columns)).encode(
        y=alt.Y("swapped:N", title=None, sort=order),
        yOffset=alt.YOffset("dictionary:N", sort=present),
        color=alt.Color("dictionary:N", title="Dictionary", scale=scale),
    )
    title, axis = "Share of the whole rows' effect", alt.Axis(format=".0%", tickCount=4)
    x = alt.X("share_low:Q", title=title, axis=axis)
    span = base.mark_rule(strokeWidth=2).encode(x=x, x2="share_high:Q")
    points = base.mark_point().encode(x=alt.X("share:Q", title=title, axis=axis))
    layered = alt.layer(span, points, width=HALF, height=alt.Step(16))
    panels = [
        only(layered, "language", language).properties(title=LANGUAGE_NAMES[language])
        for language in ("en", "ar")
        if language in table["language"].to_list()
    ]
    layer = table["layer"][0]
    caption = (
        f"Layer {layer}: what is swapped for the gender twin's, as a share of the effect of swapping the whole rows at "
        "image, instruction, last prompt token and caption, with 95 % intervals over images. Shared: associated with "
        "gender in both languages on the selection split; en only and ar only: in one alone."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(x="shared"), caption)


def _crossed(crossed: pl.DataFrame) -> Figure:
    languages = [language for language in ("en", "ar") if language in crossed["language"].to_list()]
    order = crossed["features"].unique(maintain_order=True).to_list()
    base = alt.Chart(crossed.select("language", "source", "features", "effect", "low", "high", "control")).encode(
        y=alt.Y("features:N", title=None, sort=order),
        yOffset=alt.YOffset("source:N", sort=languages),
        color=language_colour("source", languages),
    )
    axis = alt.Axis(tickCount=4)
    span = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=_EFFECT, axis=axis), x2="high:Q")
    points = base.mark_point().encode(x=alt.X("effect:Q", title=_EFFECT, axis=axis))
    same = base.mark_tick(thickness=2, size=9).encode(
        x=alt.X("control:Q", title=_EFFECT, axis=axis), color=alt.value(REFERENCE)
    )
    layered = alt.layer(span, points, same, width=HALF, height=alt.Step(18))
    panels = [
        only(layered, "language", language).properties(title=f"{LANGUAGE_NAMES[language]} run")
        for language in languages
    ]
    caption = (
        f"Layer {crossed['layer'][0]}: shift of the first gendered word in the run of one language when the features "
        "of a class get their means, position set by position set, over the twin's caption in the colour's language; "
        "95 % intervals over images. Grey: the same from the caption of the same image. "
        "A run with activations of its own language is the ceiling."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(x="shared"), caption)
