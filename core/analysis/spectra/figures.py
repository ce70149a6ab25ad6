"""The spectra's figures: effective rank by layer, and what the first principal components hold."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.analysis.spectra.spectrum import MATRICES
from core.figures.heat_map import layer_axis
from core.figures.theme import BAND, CONTROLS, HALF, MEASURED, REFERENCE, SEQUENTIAL, SERIES, Figure, by_panel, layer_x

_COLOURS = {"SAE": MEASURED, "frozen dictionary": CONTROLS[0], "attention heads": SERIES[0]}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The two figures."""
    spectra = tables["spectra"]
    return {"effective_rank": _ranks(spectra), "components": _components(tables["components"])}


def _panels(table: pl.DataFrame) -> dict[str, str]:
    return {name: name for name in MATRICES if name in table["matrix"].unique().to_list()}


def _ranks(spectra: pl.DataFrame) -> Figure:
    keys = ["layer", "of", "matrix"]
    table = spectra.group_by(keys, maintain_order=True).agg(
        pl.col("effective_rank").mean(),
        pl.col("effective_rank").min().alias("least"),
        pl.col("effective_rank").max().alias("most"),
        pl.col("random_low", "random_high").first(),
    )
    present = [name for name in _COLOURS if name in table["of"].unique().to_list()]
    colour = alt.Color(
        "of:N", title="Weights of", scale=alt.Scale(domain=present, range=[_COLOURS[name] for name in present])
    )
    title = "Effective rank"
    base, scale = alt.Chart(table).encode(x=layer_x()), alt.Scale(zero=False)
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(
        y=alt.Y("effective_rank:Q", title=title, scale=scale), color=colour
    )
    spread = base.mark_area(opacity=BAND).encode(
        y=alt.Y("least:Q", title=title, scale=scale), y2="most:Q", color=colour
    )
    random = base.mark_rule(color=REFERENCE, opacity=0.5, strokeWidth=2).encode(
        y=alt.Y("random_low:Q", title=title, scale=scale), y2="random_high:Q"
    )
    panel = (random + spread + line).resolve_scale(y="shared").properties(width=HALF, height=HALF * 2 // 3)
    return Figure(
        by_panel(panel, "matrix", _panels(table)).resolve_scale(y="independent"),
        "Effective rank (e to the entropy of the singular values' shares) of weights' products by layer. Grey marks: "
        "central 95 % of random matrices of the same shape. Heads: mean over a layer's heads, band from the least to "
        "the largest. Each panel has a scale of its own, for the matrices have different sizes.",
    )


def _components(components: pl.DataFrame) -> Figure:
    own = components.filter(pl.col("of") != "frozen dictionary")
    table = own.group_by("layer", "matrix", "component", maintain_order=True).agg(pl.col("cumulative").mean().round(4))
    panel = (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("layer:O", axis=layer_axis(table["layer"])),
            y=alt.Y("component:O", axis=layer_axis(table["component"], "Principal components"), sort="descending"),
            color=alt.Color(
                "cumulative:Q",
                title="Share of variance",
                scale=alt.Scale(scheme=SEQUENTIAL, domain=[0, 1]),
                legend=alt.Legend(format="%"),
            ),
            tooltip=["layer", "component", alt.Tooltip("cumulative:Q", format=".1%")],
        )
        .properties(width=HALF, height=HALF)
    )
    return Figure(
        by_panel(panel, "matrix", _panels(table)),
        "Share of the variance of a matrix's rows that its first principal components hold, of the SAE's weights and "
        "of attention heads (mean over a layer's heads).",
    )
