"""The autoencoders of a study in figures: reconstruction, use, density, training curves, sparsity against loss."""

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from core.figures.theme import (
    CONTROLS,
    GRID,
    HALF,
    HEIGHT,
    INK,
    LANGUAGES,
    MEASURED,
    SEQUENTIAL,
    SERIES,
    WIDTH,
    Figure,
    layer_x,
)

CURVE_POINTS = 60
"""Points drawn a training curve; more cannot be told apart."""
BIN = 0.25
"""Width of a bin: of firing rates in powers of ten (eighteen from one row in 30,000 to every row), of numbers of active
features in powers of two."""


def quality(sae: pl.DataFrame) -> Figure | None:
    """Reconstruction by layer: `sae` has one row per layer of `core.sae.metrics.final_metrics`."""
    fvu = _unpivot(sae, {"held_out_fvu": "selection", "train_fvu": "training"})
    cosine = _unpivot(sae, {"held_out_cosine": "selection", "train_cosine": "training"})
    if fvu is None or cosine is None:
        return None
    panels = [
        _two_lines(fvu, "Fraction of variance unexplained", alt.Scale(domainMin=0)),
        _two_lines(cosine, "Cosine of row and rebuilt row", alt.Scale(zero=False)),
    ]
    caption = (
        "How well each layer's autoencoder rebuilds the stream: FVU (left; lower is better) and cosine similarity "
        "(right), on its training rows and on rows of selection images, which decide when training stops and which "
        "autoencoder is used. The overview measures test images."
    )
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def frontier(sweep: pl.DataFrame) -> Figure | None:
    """Sparsity against reconstruction: a point per variant, the medians and quartiles over the layers.

    `sweep` has one row per layer and variant: architecture, expansion, variant, chosen, held_out_l0, held_out_fvu.
    """
    fvu = pl.col("held_out_fvu")
    keys = ["architecture", "expansion", "variant", "chosen"]
    summary = sweep.group_by(keys, maintain_order=True).agg(
        l0=pl.col("held_out_l0").median(), fvu=fvu.median(), low=fvu.quantile(0.25), high=fvu.quantile(0.75)
    )
    series = pl.concat_str("architecture", pl.lit(" × "), "expansion")
    table = summary.with_columns(series=series).sort("series", "l0")
    kinds = table["series"].unique(maintain_order=True).to_list()
    colour = alt.Color("series:N", title=None, scale=alt.Scale(domain=kinds, range=list(SERIES)))
    base = alt.Chart(table).encode(
        x=alt.X("l0:Q", title="Active features per token (L0, selection rows)", axis=alt.Axis(tickCount=5))
    )
    y = alt.Y("fvu:Q", title="Fraction of variance unexplained", scale=alt.Scale(zero=False))
    lines = base.mark_line().encode(y=y, color=colour)
    spread = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q", color=colour)
    tooltip = ["variant", alt.Tooltip("l0:Q", format=".3~g"), alt.Tooltip("fvu:Q", format=".3~g")]
    points = base.mark_point(filled=True, size=60).encode(y=y, color=colour, tooltip=tooltip)
    used = (
        base.transform_filter("datum.chosen")
        .mark_point(filled=False, size=240, strokeWidth=2)
        .encode(y=y, color=alt.value(INK))
    )
    chart = alt.layer(lines, spread, points, used).properties(width=WIDTH, height=HEIGHT)
    caption = (
        "Sparsity against reconstruction on selection rows, by kind × expansion: the median over the layers, bars its "
        "quartiles. "
        "Down and to the left is better. The ring marks the autoencoders that the analyses use."
    )
    return Figure(chart, caption)


def use(sae: pl.DataFrame) -> Figure | None:
    """Dead and dense features, and how often the median one fires, by layer."""
    shares = _unpivot(sae, {"dead_fraction": "dead", "dense_fraction": "dense"})
    firings = _unpivot(sae, {"median_firings_per_live_latent": "median", "rows_per_latent": "rows per feature"})
    if shares is None or firings is None:
        return None
    colours = alt.Scale(domain=["dead", "dense"], range=[SERIES[2], SERIES[4]])
    left = _two_lines(shares, "Share of features", alt.Scale(domainMin=0), colours, "%")
    greys = alt.Scale(domain=["median", "rows per feature"], range=[SERIES[0], CONTROLS[0]])
    right = _two_lines(firings, "Training rows", alt.Scale(type="log"), greys)
    caption = (
        "How the features are used: dead (silent on every training row) and dense (active on more than 10 % of them), "
        "left; rows on which the median live feature fires, beside training rows per feature, right (log scale)."
    )
    return Figure(alt.hconcat(left, right, spacing=30).resolve_scale(color="independent"), caption)


def _unpivot(table: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame | None:
    columns = [column for column in names if column in table.columns]
    if not columns:
        return None
    long = table.unpivot(columns, index="layer", variable_name="rows", value_name="value")
    return long.with_columns(pl.col("rows").replace(dict(names))).drop_nulls().sort("rows", "layer")


def _two_lines(
    table: pl.DataFrame, title: str, scale: alt.Scale, colours: alt.Scale | None = None, unit: str = ""
) -> alt.Chart:
    """Measured rows in colour, training rows in a control's grey."""
    scheme = colours or alt.Scale(domain=["selection", "training"], range=[MEASURED, CONTROLS[0]])
    axis = alt.Axis(format=unit) if unit else alt.Axis()
    chart: alt.Chart = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=layer_x(),
            y=alt.Y("value:Q", title=title, scale=scale, axis=axis),
            color=alt.Color("rows:N", title=None, scale=scheme, legend=alt.Legend(orient="top", offset=4)),
            tooltip=["layer", "rows", alt.Tooltip("value:Q", format=".3~g")],
        )
        .properties(width=HALF + 20, height=HEIGHT - 50)
    )
    return chart


def curves(history: pl.DataFrame) -> Figure | None:
    """Training curves; none where nothing was trained. `history` has a column `layer`."""
    thin = thinned(history, CURVE_POINTS)
    ends = history.drop_nulls("held_out_fvu").select("layer", "epoch", "held_out_fvu").sort("layer", "epoch")
    panels = [_curves(thin, "loss", "Training loss (log scale)")]
    panels += [_curves(ends, "held_out_fvu", "Selection FVU (log scale)")] if ends.height else []
    caption = "Training curves, one line per layer: loss of the batch"
    caption += ", and FVU on selection rows at each epoch's end." if ends.height else "."
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def thinned(history: pl.DataFrame, points: int) -> pl.DataFrame:
    """At most about `points` rows per layer, evenly spaced, the last one always among them."""
    place = pl.int_range(pl.len()).over("layer")
    size = pl.len().over("layer")
    every = (size / points).ceil().cast(pl.Int64)
    return history.sort("layer", "step").filter(((size - 1 - place) % every) == 0).select("layer", "epoch", "loss")


def _curves(table: pl.DataFrame, field: str, title: str) -> alt.Chart:
    layers: Sequence[int] = table["layer"].unique().sort().to_list()
    whole = alt.Legend(format="d", tickMinStep=1)
    colour = alt.Color("layer:Q", title="Layer", scale=alt.Scale(scheme=SEQUENTIAL), legend=whole)
    if len(layers) == 1:
        colour = alt.Color("layer:N", title="Layer", scale=alt.Scale(range=[LANGUAGES["en"]]))
    chart: alt.Chart = (
        alt.Chart(table)
        .mark_line(strokeWidth=1.3, opacity=0.85)
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(grid=True, gridColor=GRID, tickCount=5)),
            y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=5)),
            color=colour,
            detail="layer:N",
            tooltip=["layer", "epoch", alt.Tooltip(f"{field}:Q", format=".3~g")],
        )
        .properties(width=HALF, height=HEIGHT - 50)
    )
    return chart


def density(table: pl.DataFrame) -> Figure | None:
    """How often features fire: a column per layer, a square per bin of the firing rate, dead features left out."""
    y = alt.Y("low:Q", title="Firing rate of a feature (log10)", scale=alt.Scale(zero=False, nice=False))
    chart = _by_layer(table.with_columns(high=pl.col("low") + BIN), y, "features", "Features")
    caption = (
        "Feature density: of each layer's live features, the share that fires at a given rate on the training rows "
        "(log scale; a rate of −2 is one row in a hundred)."
    )
    return Figure(chart, caption)


def l0(table: pl.DataFrame) -> Figure | None:
    """How many features fire on a row: a column per layer, a square per bin of the number; none where it is always
    k."""
    if table.group_by("layer").len()["len"].max() == 1:
        return None
    squares = table.with_columns(low=2 ** pl.col("low"), high=2 ** (pl.col("low") + BIN))
    y = alt.Y("low:Q", title="Active features per token", scale=alt.Scale(type="log", nice=False))
    caption = (
        "L0: of each layer's held-out rows, the share on which a given number of features is active (log scale; rows "
        "without any are counted with one)."
    )
    return Figure(_by_layer(squares, y, "rows", "Rows"), caption)


def _by_layer(squares: pl.DataFrame, y: alt.Y, count: str, title: str) -> alt.Chart:
    """A column per layer, a square per bin from `low` to `high`, its colour the share of the layer's `count`."""
    share = pl.col(count) / pl.col(count).sum().over("layer")
    scale, percent = alt.Scale(scheme=SEQUENTIAL), alt.Legend(format="%")
    chart: alt.Chart = (
        alt.Chart(squares.with_columns(share=share))
        .mark_rect()
        .encode(
            x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=y,
            y2="high:Q",
            color=alt.Color("share:Q", title=title, scale=scale, legend=percent),
            tooltip=["layer", alt.Tooltip("low:Q", title="from"), alt.Tooltip("high:Q", title="to"), count],
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    return chart
