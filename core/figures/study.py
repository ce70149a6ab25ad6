"""The study itself in figures: its captions' genders, the stream by layer, the autoencoders and their training."""

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from core.figures.theme import (
    CONTROLS,
    GENDERS,
    GRID,
    HALF,
    HEIGHT,
    INK,
    LANGUAGES,
    MEASURED,
    SEGMENTS,
    SEQUENTIAL,
    SERIES,
    WIDTH,
    Figure,
    gender_colour,
    layer_x,
    segment_colour,
)

CURVE_POINTS = 60
"""Points drawn a training curve; more cannot be told apart."""
_LANGUAGE_TITLES = {"gender_en": "English captions", "gender_ar": "Arabic captions"}
_SPLITS = ["train", "select", "test"]


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The study's figures; a table that is missing or empty has none.

    `samples` as `prepare` wrote them; `sae` one row a layer of `core.sae.metrics.final_metrics`; `history` the
    training curves with a column `layer`; `health` one row a layer (rows, scale, top_share, mean_norm_SEGMENT);
    `sweep` one row a layer and variant, where several autoencoders were trained.
    """
    makers = {
        "genders": ("samples", _genders),
        "agreement": ("samples", _agreement),
        "stream": ("health", _stream),
        "sae_quality": ("sae", _sae_quality),
        "sae_use": ("sae", _sae_use),
        "sae_curves": ("history", _sae_curves),
        "sae_frontier": ("sweep", sae_frontier),
    }
    present = {name: maker for name, maker in makers.items() if tables.get(maker[0], pl.DataFrame()).height}
    drawn = {name: maker(tables[table]) for name, (table, maker) in present.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def gender_counts(samples: pl.DataFrame) -> pl.DataFrame:
    """Captions by language column, split and gender: `captions`, `split`, `gender`, `count`."""
    columns = [column for column in _LANGUAGE_TITLES if column in samples.columns]
    long = samples.unpivot(columns, index="split", variable_name="captions", value_name="gender").drop_nulls("gender")
    counts = long.group_by("captions", "split", "gender").len("count")
    return counts.with_columns(pl.col("count").cast(pl.Int64)).sort("captions", "split", "gender", descending=True)


def _genders(samples: pl.DataFrame) -> Figure | None:
    counts = gender_counts(samples)
    if counts.is_empty():
        return None
    present = [gender for gender in GENDERS if gender in set(counts["gender"])]
    order = pl.DataFrame({"gender": present, "order": range(len(present))})
    counts = counts.join(order, on="gender", maintain_order="left")
    panels = [
        alt.Chart(counts.filter(captions=captions), title=_LANGUAGE_TITLES[captions])
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("split:N", title=None, sort=_SPLITS, axis=alt.Axis(domain=False, ticks=False)),
            x=alt.X("count:Q", title="Captions", axis=alt.Axis(tickMinStep=1, format="~s")),
            color=gender_colour(present=present),
            order="order:Q",
            tooltip=["split", "gender", "count"],
        )
        .properties(width=HALF + 30, height=100)
        for captions in _LANGUAGE_TITLES
        if captions in set(counts["captions"])
    ]
    caption = "Captions by split and gender label. Labels are read off the captions by lexicon and agreement."
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def _agreement(samples: pl.DataFrame) -> Figure | None:
    both = samples.drop_nulls(["gender_en", "gender_ar"])
    if both.is_empty():
        return None
    counts = both.group_by("gender_en", "gender_ar").len("count").sort("gender_en", "gender_ar")
    counts = counts.with_columns(pl.col("count").cast(pl.Int64))
    present = [name for name in GENDERS if name in {*counts["gender_en"], *counts["gender_ar"]}]
    domain = alt.Scale(domain=present)
    straight = alt.Axis(labelAngle=0)
    base = alt.Chart(counts).encode(
        x=alt.X("gender_ar:N", title="Arabic caption", scale=domain, axis=straight),
        y=alt.Y("gender_en:N", title="English caption", scale=domain),
    )
    top = int(counts["count"].cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    cells = base.mark_rect(stroke="white").encode(color=alt.Color("count:Q", title="Samples", scale=_blues()))
    white = alt.when(alt.datum.count > top * 0.55).then(alt.value("white")).otherwise(alt.value(INK))
    numbers = base.mark_text(fontSize=12).encode(text="count:Q", color=white)
    size = 62 * len(present)
    caption = "Gender of the English against the Arabic caption of the same sample; off the diagonal they disagree."
    return Figure((cells + numbers).properties(width=size, height=min(size, 46 * len(present))), caption)


def _blues() -> alt.Scale:
    return alt.Scale(scheme="blues", zero=True)


def _stream(health: pl.DataFrame) -> Figure | None:
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
            color=segment_colour(present=present),
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
        "Left: mean norm of the residual stream's rows by segment (log scale; control tokens left out). "
        "Right: share of the total squared norm that the largest 0.1 % of rows hold."
    )
    return Figure(alt.hconcat(left, right, spacing=30), caption)


def _sae_quality(sae: pl.DataFrame) -> Figure | None:
    fvu = _unpivot(sae, {"held_out_fvu": "held out", "train_fvu": "training"})
    cosine = _unpivot(sae, {"held_out_cosine": "held out", "train_cosine": "training"})
    if fvu is None or cosine is None:
        return None
    panels = [
        _two_lines(fvu, "Fraction of variance unexplained", alt.Scale(domainMin=0)),
        _two_lines(cosine, "Cosine of row and rebuilt row", alt.Scale(zero=False)),
    ]
    caption = (
        "How well each layer's autoencoder rebuilds the stream: FVU (left; lower is better) and cosine similarity "
        "(right), on rows of held-out images and on its training rows."
    )
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def sae_frontier(sweep: pl.DataFrame) -> Figure | None:
    """Sparsity against reconstruction: a point a variant, the medians and quartiles over the layers.

    `sweep` has one row a layer and variant: architecture, expansion, variant, chosen, held_out_l0, held_out_fvu.
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
    base = alt.Chart(table).encode(x=alt.X("l0:Q", title="Active features a token (L0, held out)"))
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
        "Sparsity against reconstruction on held-out rows: the median over the layers, bars its quartiles. "
        "Down and to the left is better. The ring marks the autoencoders that the analyses use."
    )
    return Figure(chart, caption)


def _sae_use(sae: pl.DataFrame) -> Figure | None:
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
    scheme = colours or alt.Scale(domain=["held out", "training"], range=[MEASURED, CONTROLS[0]])
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


def _sae_curves(history: pl.DataFrame) -> Figure | None:
    thin = thinned(history, CURVE_POINTS)
    ends = history.drop_nulls("held_out_fvu").select("layer", "epoch", "held_out_fvu").sort("layer", "epoch")
    panels = [_curves(thin, "loss", "Training loss (log scale)")]
    panels += [_curves(ends, "held_out_fvu", "Held-out FVU (log scale)")] if ends.height else []
    caption = "Training curves, one line a layer: loss of the batch"
    caption += ", and FVU on held-out rows at each epoch's end." if ends.height else "."
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def thinned(history: pl.DataFrame, points: int) -> pl.DataFrame:
    """At most about `points` rows a layer, evenly spaced, the last one always among them."""
    place = pl.int_range(pl.len()).over("layer")
    size = pl.len().over("layer")
    every = (size / points).ceil().cast(pl.Int64)
    return history.sort("layer", "step").filter(((size - 1 - place) % every) == 0).select("layer", "epoch", "loss")


def _curves(table: pl.DataFrame, field: str, title: str) -> alt.Chart:
    layers: Sequence[int] = table["layer"].unique().sort().to_list()
    colour = alt.Color("layer:Q", title="Layer", scale=alt.Scale(scheme=SEQUENTIAL))
    if len(layers) == 1:
        colour = alt.Color("layer:N", title="Layer", scale=alt.Scale(range=[LANGUAGES["en"]]))
    chart: alt.Chart = (
        alt.Chart(table)
        .mark_line(strokeWidth=1.3, opacity=0.85)
        .encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(grid=True, gridColor=GRID)),
            y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=5)),
            color=colour,
            detail="layer:N",
            tooltip=["layer", "epoch", alt.Tooltip(f"{field}:Q", format=".3~g")],
        )
        .properties(width=HALF, height=HEIGHT - 50)
    )
    return chart
