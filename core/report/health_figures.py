"""The rows of every layer in figures: norms, outliers, and how far their mean outweighs their spread."""

import altair as alt
import polars as pl

from core.figures.theme import CONTROLS, HALF, HEIGHT, MEASURED, SEGMENTS, SEQUENTIAL, SERIES, Figure, layer_x
from core.figures.theme import segment_colour as colour_of_segments

_SHARES = {"outlier_fraction": "of the rows", "outlier_share": "of the squared norm"}
_FVU = {"held_out_fvu": "without outliers", "held_out_fvu_with_outliers": "with them"}


def stream(health: pl.DataFrame) -> Figure | None:
    """Mean norms by segment, and what the largest rows hold; `health` has mean_norm_SEGMENT and top_share by layer."""
    columns = [f"mean_norm_{segment}" for segment in SEGMENTS if f"mean_norm_{segment}" in health.columns]
    norms = health.unpivot(columns, index="layer", variable_name="segment", value_name="norm").drop_nulls()
    norms = norms.with_columns(pl.col("segment").str.strip_prefix("mean_norm_")).sort("segment", "layer")
    present = [segment for segment in SEGMENTS if segment in set(norms["segment"])]
    if not present:
        return None
    left = (
        alt.Chart(norms)
        .mark_line(point=True)
        .encode(
            x=layer_x(),
            y=alt.Y("norm:Q", title="Mean norm of a row", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5)),
            color=colour_of_segments(present=present),
            tooltip=["layer", "segment", alt.Tooltip("norm:Q", format=".4~g")],
        )
        .properties(width=HALF, height=HEIGHT - 50)
    )
    share = alt.Y("top_share:Q", title="Share of squared norm", axis=alt.Axis(format="%"), scale=alt.Scale(domainMin=0))
    right = (
        alt.Chart(health.select("layer", "top_share").sort("layer"))
        .mark_line(point=True, color=CONTROLS[0])
        .encode(x=layer_x(), y=share, tooltip=["layer", alt.Tooltip("top_share:Q", format=".2%")])
        .properties(width=HALF, height=HEIGHT - 50)
    )
    caption = (
        "Left: mean norm of the residual stream's rows by segment (log scale; control tokens and outliers left out). "
        "Right: share of the total squared norm that the largest 0.1 % of these rows hold."
    )
    return Figure(alt.hconcat(left, right, spacing=30), caption)


def outliers(layers: pl.DataFrame) -> Figure | None:
    """Rows left out by layer, and FVU with and without them; none where no layer has any.

    `layers` has outlier_rows, outlier_fraction and outlier_share by layer and, where some are held out, held_out_fvu
    and held_out_fvu_with_outliers.
    """
    if "outlier_rows" not in layers.columns or not layers["outlier_rows"].sum():
        return None
    panels = [_two_lines(layers, _SHARES, "Share that outliers have", (SERIES[3], CONTROLS[0]), "%")]
    caption = (
        "Outliers: rows whose norm exceeds the study's multiple of their layer's median. Left: their share of the rows "
        "and of the squared norm."
    )
    if "held_out_fvu_with_outliers" in layers.columns:
        panels.append(_two_lines(layers, _FVU, "Fraction of variance unexplained", (MEASURED, CONTROLS[0])))
        caption += " Right: FVU on selection rows of the same autoencoders without and with them."
    return Figure(alt.hconcat(*panels, spacing=30).resolve_scale(color="independent"), caption)


def _two_lines(
    table: pl.DataFrame, names: dict[str, str], title: str, colours: tuple[str, str], unit: str = ""
) -> alt.Chart:
    both = table.select("layer", *names)
    long = both.unpivot(index="layer", variable_name="rows", value_name="value").drop_nulls()
    long = long.with_columns(pl.col("rows").replace(names)).sort("rows", "layer")
    scheme = alt.Scale(domain=list(names.values()), range=list(colours))
    axis = alt.Axis(format=unit) if unit else alt.Axis()
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=layer_x(),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0), axis=axis),
            color=alt.Color("rows:N", title=None, scale=scheme, legend=alt.Legend(orient="top", offset=4)),
            tooltip=["layer", "rows", alt.Tooltip("value:Q", format=".3~g")],
        )
        .properties(width=HALF + 20, height=HEIGHT - 50)
    )
    return chart


def gamma(layers: pl.DataFrame) -> Figure | None:
    """γ by layer, beside the dead features; `layers` has gamma and, where there are autoencoders, dead_fraction."""
    if "gamma" not in layers.columns:
        return None
    known = layers.filter(pl.col("gamma").is_not_null()).sort("layer")
    if known.is_empty():
        return None
    size = {"width": HALF, "height": HEIGHT - 50}
    y = alt.Y("gamma:Q", title="γ = ‖μ‖ / ‖σ‖", scale=alt.Scale(domainMin=0))
    tooltip = ["layer", alt.Tooltip("gamma:Q", format=".3~g")]
    panels = [alt.Chart(known).mark_line(point=True, color=SERIES[0]).encode(layer_x(), y, tooltip=tooltip)]
    caption = "How far the mean row outweighs the spread about it: γ = ‖μ‖ / ‖σ‖ of each layer's rows"
    dead = known["dead_fraction"].drop_nulls() if "dead_fraction" in known.columns else pl.Series([], dtype=pl.Float64)
    if dead.len() > 1 and dead.sum() > 0:
        panels.append(_against_dead(known))
        caption += " (left), and against the share of dead features of its autoencoder (right), one point per layer"
    elif dead.len() and dead.sum() == 0:
        caption += "; no autoencoder has a dead feature"
    return Figure(alt.hconcat(*(panel.properties(**size) for panel in panels), spacing=30), f"{caption}.")


def _against_dead(known: pl.DataFrame) -> alt.Chart:
    whole = alt.Legend(format="d", tickMinStep=1)
    chart: alt.Chart = (
        alt.Chart(known.drop_nulls("dead_fraction"))
        .mark_point(filled=True, size=50)
        .encode(
            x=alt.X("gamma:Q", title="γ", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            y=alt.Y("dead_fraction:Q", title="Dead features", axis=alt.Axis(format="%"), scale=alt.Scale(domainMin=0)),
            color=alt.Color("layer:Q", title="Layer", scale=alt.Scale(scheme=SEQUENTIAL), legend=whole),
            tooltip=["layer", alt.Tooltip("gamma:Q", format=".3~g"), alt.Tooltip("dead_fraction:Q", format=".1%")],
        )
    )
    return chart
