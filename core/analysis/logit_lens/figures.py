"""The lens's figures: ranks, entropy and KL by layer, and the likeliest tokens."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.logit_lens.reading import READ, STREAM_READ
from core.analysis.logit_lens.rows import BEFORE
from core.figures.heat_map import layer_axis, spelled
from core.figures.theme import BAND, CONTROLS, HALF, MEASURED, ON_PALE, REFERENCE, SEQUENTIAL, SERIES, Figure, layer_x

_COLOURS = dict(zip(READ, (SERIES[0], MEASURED, CONTROLS[0]), strict=True))
_PANELS = ["English", "Arabic"]
_SIZE = {"width": HALF, "height": HALF * 2 // 3}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    lens = tables["lens"]
    if lens.is_empty():
        return {}
    before = spelled(lens.filter(rows=BEFORE))
    return {
        "ranks": _ranks(before),
        "order": _order(before),
        "certainty": _certainty(spelled(lens)),
        "top_tokens": _top(spelled(tables["top_tokens"])),
    }


def _ranks(before: pl.DataFrame) -> Figure:
    plain = before.filter(read=STREAM_READ)
    names = {"own_rank": "right side's word", "other_rank": "other side's word"}
    parts = [plain.select("layer", "language", pl.lit(of).alias("of"), rank=column) for column, of in names.items()]
    colour = alt.Color("of:N", title=None, scale=alt.Scale(domain=[*names.values()], range=[MEASURED, CONTROLS[0]]))
    y = alt.Y("rank:Q", title="Median rank (1: the likeliest)", scale=alt.Scale(type="log", reverse=True))
    line = (
        alt.Chart(pl.concat(parts)).mark_line(point=alt.OverlayMarkDef(size=18)).encode(x=layer_x(), y=y, color=colour)
    )
    return Figure(
        line.properties(**_SIZE).facet(column=alt.Column("language:N", title=None, sort=_PANELS)),
        "Rank by the vocabulary head, in each layer's stream, of the best token that opens a word of the "
        "image's own side and of the best of the other side, in the row before the caption's first word for the "
        "concept; median over test images.",
    )


def _order(before: pl.DataFrame) -> Figure:
    present = [name for name in READ if name in before["read"].unique().to_list()]
    colour = alt.Color("read:N", title="Read in", scale=alt.Scale(domain=present, range=[_COLOURS[n] for n in present]))
    title = "AUROC on the test split"
    base = alt.Chart(before.select("layer", "language", "read", "auroc", "low", "high", "shuffled_high"))
    base = base.encode(x=layer_x())
    scale = alt.Scale(zero=False)
    null = base.mark_line(color=REFERENCE, strokeDash=[2, 2], strokeWidth=1).encode(
        y=alt.Y("max(shuffled_high):Q", title=title, scale=scale)
    )
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", color=colour)
    line = base.mark_line().encode(y=alt.Y("auroc:Q", title=title, scale=scale), color=colour)
    return Figure(
        (null + band + line).properties(**_SIZE).facet(column=alt.Column("language:N", title=None, sort=_PANELS)),
        "How well the order of the two sides' best words tells the image's side, by layer: in the stream, and in what "
        "the dictionaries rebuild of it. Band: 95 % interval over test images, twins drawn together; dotted: 97.5th "
        "percentile with shuffled labels, layer by layer. From which layer on is decided over the whole curve.",
    )


def _certainty(lens: pl.DataFrame) -> Figure:
    present = [name for name in READ if name in lens["read"].unique().to_list()]
    colour = alt.Color("read:N", title="Read in", scale=alt.Scale(domain=present, range=[_COLOURS[n] for n in present]))
    panels = []
    for column, title in (("entropy", "Entropy (nats)"), ("kl", "KL to the end (nats)")):
        if lens[column].is_not_null().any():
            part = lens.select("layer", "language", "rows", "read", column, f"{column}_low", f"{column}_high")
            base = alt.Chart(part).encode(x=layer_x(), color=colour)
            band = base.mark_area(opacity=BAND).encode(y=alt.Y(f"{column}_low:Q", title=title), y2=f"{column}_high:Q")
            line = base.mark_line().encode(y=alt.Y(f"{column}:Q", title=title))
            panels.append(
                (band + line)
                .properties(width=HALF, height=HALF // 2)
                .facet(column=alt.Column("rows:N", title=None), row=alt.Row("language:N", title=None, sort=_PANELS))
            )
    return Figure(
        alt.vconcat(*panels),
        "How certain the lens is, and how far it is from what the model says in the end (KL of the last layer's "
        "distribution from the lens's), by layer, in the row before the word and on caption tokens. Band: 95 % "
        "interval over test images, twins drawn together.",
    )


def _top(top: pl.DataFrame) -> Figure:
    ranked = top.with_columns(
        pl.col("share").rank("ordinal", descending=True).over("layer", "language").alias("rank"),
        pl.col("share", "p").round(3),
        pl.col("token").map_elements(lambda token: token if token.strip() else repr(token)[1:-1], pl.String),
    )
    base = alt.Chart(ranked).encode(
        x=alt.X("rank:O", title="By how often", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("layer:O", axis=layer_axis(ranked["layer"]), sort="descending"),
    )
    colour = alt.Color("share:Q", title="Share of rows", scale=alt.Scale(scheme=SEQUENTIAL, domain=[0, 1]))
    cells = base.mark_rect().encode(color=colour, tooltip=["layer", "token", "share", "p"])
    dark = alt.condition("datum.share > 0.6", alt.value(ON_PALE), alt.value("white"))
    text = base.mark_text(fontSize=8).encode(text="token:N", color=dark)
    panel = (cells + text).properties(width=HALF, height=max(120, 12 * ranked["layer"].n_unique()))
    return Figure(
        panel.facet(column=alt.Column("language:N", title=None, sort=_PANELS)),
        "Tokens that stand most often among a row's likeliest in the lens, by layer, in the row before the word; "
        "colour: in what share of rows.",
    )
