"""The probes' figures: the matrix of probes by layer, and how many features a label takes."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.features.readings import FROZEN_READ, RANDOM_READ, READ, SAE_READ, STREAM_READ
from core.figures.heat_map import layer_axis, spelled
from core.figures.theme import CONTROLS, DIVERGING, HALF, MEASURED, SERIES, Figure

_COLOURS = {SAE_READ: MEASURED, FROZEN_READ: CONTROLS[0], RANDOM_READ: CONTROLS[1], STREAM_READ: SERIES[0]}
_PANELS = ["English", "Arabic", "Shared"]
_AREA = alt.Scale(scheme=DIVERGING, domain=[0, 1], domainMid=0.5)


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    probes = tables["probes"]
    if probes.is_empty():
        return {}
    labels = probes["label"].unique(maintain_order=True).to_list()
    found = {"probe_matrix": _matrix(probes.filter(label=labels[0]), labels[0])}
    if len(labels) > 1:
        found["labels"] = _labels(probes, labels)
    return {**found, "few_features": _few(tables["best"].filter(label=labels[0]), labels[0])}


def _matrix(probes: pl.DataFrame, label: str) -> Figure:
    method = pl.concat_str(pl.col("read"), pl.lit(": "), pl.col("method"))
    order = [f"{read}: {one}" for read in reversed(READ) for one in _methods(probes.filter(read=read))]
    table = spelled(probes).select("layer", "language", "position_set", method.alias("probe"), _round("auroc"))
    panel = _heat(table, alt.Y("probe:N", title=None, sort=order[::-1]), len(order))
    return Figure(
        _by_place(panel),
        f"AUROC on test images of probes for {label}, by layer (1: told apart without error, ½: chance). Rows: what is "
        "read, and how: all dimensions of the stream, of the SAE's features or the frozen dictionary's (logistic), or "
        "a few chosen on training images. Layers are not chosen here; sentences speak of the one that the selection "
        "split chose.",
    )


def _labels(probes: pl.DataFrame, labels: list[str]) -> Figure:
    linear = probes.filter(pl.col("features").is_null(), read=STREAM_READ)
    table = spelled(linear).select("layer", "language", "position_set", "label", _round("auroc"))
    panel = _heat(table, alt.Y("label:N", title=None, sort=labels), len(labels))
    return Figure(
        _by_place(panel),
        "AUROC on test images of the linear probe of the stream, by label and layer; of a label with more than two "
        "values the mean over values, each against the others.",
    )


def _few(best: pl.DataFrame, label: str) -> Figure:
    sparse = spelled(best.filter(pl.col("features").is_not_null()))
    table = sparse.select(
        "language", "position_set", "read", "features", "layer", *(_round(name) for name in ("auroc", "low", "high"))
    )
    present = [read for read in _COLOURS if read in table["read"].unique().to_list()]
    colour = alt.Color(
        "read:N", title="Read off", scale=alt.Scale(domain=present, range=[_COLOURS[name] for name in present])
    )
    ks = table["features"].unique().sort().to_list()
    x = alt.X(
        "features:Q",
        title="Features",
        scale=alt.Scale(type="log", domain=[ks[0], ks[-1]], padding=8),
        axis=alt.Axis(values=ks, format="d"),
    )
    base = alt.Chart(table).encode(x=x, color=colour)
    y = alt.Y("auroc:Q", title="AUROC on the test split", scale=alt.Scale(zero=False))
    line = base.mark_line(point=True).encode(y=y)
    bars = base.mark_rule(opacity=0.5).encode(y=alt.Y("low:Q", title="AUROC on the test split"), y2="high:Q")
    return Figure(
        _by_place((bars + line).properties(width=HALF, height=HALF * 2 // 3)),
        f"How well a few features read {label} on test images, at the layer chosen on the selection split, by what "
        "they are features of; those of the stream are its own dimensions. Bars: 95 % interval over images, twins "
        "drawn together. The same images are read by all, so that overlapping bars do not mean that two do not differ.",
    )


def _methods(probes: pl.DataFrame) -> list[str]:
    """From few features to all dimensions."""
    return probes.sort("features", nulls_last=True)["method"].unique(maintain_order=True).to_list()


def _round(name: str) -> pl.Expr:
    return pl.col(name).round(3)


def _heat(table: pl.DataFrame, y: alt.Y, rows: int) -> alt.Chart:
    chart = alt.Chart(table).mark_rect()
    colour = alt.Color("auroc:Q", title="AUROC", scale=_AREA)
    x = alt.X("layer:O", axis=layer_axis(table["layer"]))
    encoded: alt.Chart = chart.encode(x=x, y=y, color=colour, tooltip=list(table.columns))
    return encoded.properties(width=HALF, height=max(40, 14 * rows))


def _by_place(panel: alt.Chart | alt.LayerChart) -> alt.FacetChart:
    return panel.facet(
        column=alt.Column("position_set:N", title=None), row=alt.Row("language:N", title=None, sort=_PANELS)
    )
