"""The alignment's figures: measures by layer beside their nulls and ceilings, and the map of layers by layers."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.languages import LANGUAGE_NAMES
from core.figures.heat_map import layer_axis
from core.figures.theme import (
    BAND,
    HALF,
    SEQUENTIAL,
    WIDTH,
    Figure,
    by_panel,
    control_colour,
    layer_x,
)

_TITLES = {
    "correlation": "Correlation over images",
    "jaccard": "Jaccard over images",
    "matched": "Features with a counterpart",
    "cka": "CKA of the stream",
    "overlap": "Overlap of gendered features",
    "cosine": "Nearest cosine, gendered",
    "transport": "Optimal transport, gendered",
    "direction": "Cosine of gender directions",
}
_KINDS = {"SAE": "measured", "stream": "measured", "frozen": "frozen dictionary"}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found = {}
    if tables["layers"].height:
        found["alignment"] = _alignment(tables["layers"])
    if tables["map"].drop_nans().height:
        found["map"] = _map(tables["map"])
    return found


def _alignment(layers: pl.DataFrame) -> Figure:
    own = layers.filter(pl.col("dictionary") != "frozen")
    shuffled = own.select(
        "layer", "measure", pl.lit("shuffled").alias("kind"), value="null", low="null_low", high="null_high"
    )
    measured = layers.select(
        "layer",
        "measure",
        pl.col("dictionary").replace(_KINDS).alias("kind"),
        "value",
        *(pl.when(pl.col("dictionary") != "frozen").then(end).alias(end) for end in ("low", "high")),
    )
    none = pl.lit(None, pl.Float64)
    ceiling = own.select("layer", "measure", pl.lit("two seeds").alias("kind"), value="ceiling", low=none, high=none)
    table = pl.concat([measured, shuffled, ceiling]).filter(pl.col("value").is_finite())
    kinds = [name for name in ("shuffled", "frozen dictionary", "two seeds") if name in table["kind"].to_list()]
    base = alt.Chart(table).encode(x=layer_x(), color=control_colour("kind", ["measured"], kinds))
    line = base.mark_line(strokeWidth=1.8).encode(
        y=alt.Y("value:Q", title="Value"),
        strokeDash=alt.StrokeDash(
            "kind:N",
            scale=alt.Scale(domain=["measured", *kinds], range=[[1, 0], [4, 3], [1, 0], [1, 2]][: 1 + len(kinds)]),
            legend=None,
        ),
    )
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title="Value"), y2="high:Q")
    panel = (band + line).properties(width=HALF, height=HALF * 3 // 5)
    present = {name: title for name, title in _TITLES.items() if name in table["measure"].to_list()}
    return Figure(
        by_panel(panel, "measure", present),
        "The two languages over the same test images, by layer. Red: measured, with its 95 % interval (over images; "
        "over features for counterparts, overlap, nearest cosine and transport). Dashed: shuffled, with the central "
        "95 %; pairs of captions within profession and gender for correlation, Jaccard and CKA, labels among images "
        "for what is gendered. Where they are there: the frozen dictionary, and two SAEs of one layer from two seeds.",
    )


def _map(table: pl.DataFrame) -> Figure:
    one, other = [name.removeprefix("layer_") for name in table.columns if name.startswith("layer_")]
    chart = (
        alt.Chart(table.drop_nans().with_columns(pl.col("cka").round(4)))
        .mark_rect()
        .encode(
            x=alt.X(f"layer_{one}:O", axis=layer_axis(table[f"layer_{one}"], f"Layer, {LANGUAGE_NAMES[one]} captions")),
            y=alt.Y(
                f"layer_{other}:O", axis=layer_axis(table[f"layer_{other}"], f"Layer, {LANGUAGE_NAMES[other]} captions")
            ),
            color=alt.Color("cka:Q", title="CKA", scale=alt.Scale(scheme=SEQUENTIAL, zero=False)),
            tooltip=[f"layer_{one}", f"layer_{other}", "cka"],
        )
        .properties(width=WIDTH * 3 // 4, height=WIDTH * 3 // 4)
    )
    return Figure(
        chart,
        f"Cross-lingual alignment: debiased linear CKA between the stream of each layer on {LANGUAGE_NAMES[one]} "
        f"captions and of each layer on {LANGUAGE_NAMES[other]} captions of the same test images.",
    )
