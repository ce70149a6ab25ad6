"""The interpretation's figures: how well explanations predict, and what features promote."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.figures.theme import CONTROLS, HALF, HEIGHT, MEASURED, SERIES, WIDTH, Figure, by_panel, layer_x, rule

FEATURES = 6
"""Features in the figure of promoted tokens."""


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found: dict[str, Figure] = {}
    if tables["explanations"]["score"].drop_nulls().len():
        found["explanations"] = _explanations(tables["explanations"])
    if tables["promoted"].height and tables["described"].height:
        found["promoted"] = _promoted(tables["promoted"], tables["described"])
    return found


def _explanations(explanations: pl.DataFrame) -> Figure:
    keys = ["layer", "feature", "explanation"]
    own = explanations.select(*keys, "score", pl.lit("its own").alias("which"))
    swapped = explanations.select(*keys, pl.col("control").alias("score"), pl.lit("other features'").alias("which"))
    table = pl.concat([own, swapped]).drop_nulls("score")
    colour = alt.Color(
        "which:N",
        title="Explanation",
        scale=alt.Scale(domain=["its own", "other features'"], range=[MEASURED, CONTROLS[1]]),
    )
    scale = alt.Scale(zero=False)
    y = alt.Y("score:Q", title="Balanced accuracy on test images", scale=scale)
    base = alt.Chart(table).encode(x=layer_x(), color=colour)
    points = base.mark_circle(size=26, opacity=0.7).encode(y=y, tooltip=["layer", "feature", "explanation", "score"])
    means = base.mark_line(strokeWidth=2).encode(y=alt.Y("mean(score):Q", title="", scale=scale))
    return Figure(
        (rule(0.5) + points + means).properties(width=WIDTH, height=HEIGHT),
        "How well a feature's explanation (over-represented tokens or an image attribute, chosen on train and "
        "selection images) tells where it fires on test images; a point per feature, lines are means. Grey: the "
        "mean over the explanations of the layer's other features; dashed: chance.",
    )


def _promoted(promoted: pl.DataFrame, described: pl.DataFrame) -> Figure:
    chosen = described.head(FEATURES).select("layer", "feature").with_row_index("order")
    table = promoted.filter(pl.col("rank") <= 6).join(chosen, on=["layer", "feature"])
    signed = pl.when(pl.col("direction") == "promoted").then(pl.col("score")).otherwise(-pl.col("score").abs())
    name = pl.format("Layer {}, feature {}", "layer", "feature").alias("name")
    token = pl.col("token").str.strip_chars()
    table = table.select("order", name, "direction", "rank", token, signed.alias("score")).sort(
        "order", "direction", "rank"
    )
    colour = alt.Color(
        "direction:N",
        title="",
        scale=alt.Scale(domain=["promoted", "suppressed"], range=[SERIES[0], SERIES[1]]),
    )
    order = table["name"].unique(maintain_order=True).to_list()
    panel = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("score:Q", title="Change of logit per unit"),
            y=alt.Y("token:N", title=None, sort=alt.EncodingSortField("score", order="descending")),
            color=colour,
        )
        .properties(width=HALF - 40, height=alt.Step(14))
    )
    chart = by_panel(panel, "name", {name: name for name in order}).resolve_scale(y="independent", x="independent")
    return Figure(
        chart,
        "Tokens whose logits the features that rank first on the selection split raise and lower most by the direct "
        "path (decoder, final norm, unembedding), against the mean over the vocabulary.",
    )
