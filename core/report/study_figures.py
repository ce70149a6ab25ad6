"""The study itself in figures: its captions' labels, the stream by layer; the autoencoders' are in `sae_figures`."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.known_concepts import THE_CONCEPT
from core.data.languages import LANGUAGE_NAMES
from core.figures.theme import HALF, ON_PALE, Figure, label_colour
from core.report import health_figures as health
from core.report import sae_figures as saes

_LABEL = THE_CONCEPT.name
_COLUMNS = {THE_CONCEPT.label_column(code): f"{name} captions" for code, name in LANGUAGE_NAMES.items()}
_SPLITS = ["train", "select", "test"]


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The study's figures; a table that is missing or empty has none.

    `samples` as `prepare` wrote them; `sae` one row per layer of `core.sae.metrics.final_metrics`; `history` the
    training curves with a column `layer`; `health` one row per layer (rows, outlier_rows, outlier_fraction,
    outlier_share, scale, top_share, gamma, mean_norm_SEGMENT);
    `sweep` one row per layer and variant, where several autoencoders were trained; `density` one row per layer and bin
    of the features' firing rates (low: its lower end, log10; features: how many); `l0` the same of active features a
    held-out row (low: log2; rows: how many).
    """
    makers = {
        THE_CONCEPT.plural: ("samples", _labels),
        "agreement": ("samples", _agreement),
        "stream": ("health", health.stream),
        "outliers": ("layers", health.outliers),
        "gamma": ("layers", health.gamma),
        "sae_quality": ("sae", saes.quality),
        "sae_use": ("sae", saes.use),
        "sae_curves": ("history", saes.curves),
        "sae_frontier": ("sweep", saes.frontier),
        "sae_density": ("density", saes.density),
        "sae_l0": ("l0", saes.l0),
    }
    tables = {**tables, "layers": _layers(tables)}
    present = {name: maker for name, maker in makers.items() if tables.get(maker[0], pl.DataFrame()).height}
    drawn = {name: maker(tables[table]) for name, (table, maker) in present.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _layers(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The rows' health beside their autoencoder's figures, one row per layer."""
    rows, sae = tables.get("health", pl.DataFrame()), tables.get("sae", pl.DataFrame())
    if rows.is_empty() or sae.is_empty():
        return rows
    names = ("dead_fraction", "held_out_fvu", "held_out_fvu_with_outliers")
    return rows.join(sae.select("layer", *(name for name in names if name in sae.columns)), on="layer", how="left")


def label_counts(samples: pl.DataFrame) -> pl.DataFrame:
    """Captions by language column, split and label: `captions`, `split`, the concept's name, `count`."""
    columns = [column for column in _COLUMNS if column in samples.columns]
    long = samples.unpivot(columns, index="split", variable_name="captions", value_name=_LABEL).drop_nulls(_LABEL)
    counts = long.group_by("captions", "split", _LABEL).len("count")
    return counts.with_columns(pl.col("count").cast(pl.Int64)).sort("captions", "split", _LABEL, descending=True)


def _labels(samples: pl.DataFrame) -> Figure | None:
    counts = label_counts(samples)
    if counts.is_empty():
        return None
    present = [label for label in THE_CONCEPT.colours if label in set(counts[_LABEL])]
    order = pl.DataFrame({_LABEL: present, "order": range(len(present))})
    counts = counts.join(order, on=_LABEL, maintain_order="left")
    panels = [
        alt.Chart(counts.filter(captions=captions), title=_COLUMNS[captions])
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("split:N", title=None, sort=_SPLITS, axis=alt.Axis(domain=False, ticks=False)),
            x=alt.X("count:Q", title="Captions", axis=alt.Axis(tickMinStep=1, format="~s")),
            color=label_colour(_LABEL, THE_CONCEPT.colours, present),
            order="order:Q",
            tooltip=["split", _LABEL, "count"],
        )
        .properties(width=HALF + 30, height=100)
        for captions in _COLUMNS
        if captions in set(counts["captions"])
    ]
    caption = f"Captions by split and {_LABEL} label. Labels are read off the captions by lexicon and agreement."
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def _agreement(samples: pl.DataFrame) -> Figure | None:
    english, arabic = _COLUMNS
    both = samples.drop_nulls([english, arabic])
    if both.is_empty():
        return None
    counts = both.group_by(english, arabic).len("count").sort(english, arabic)
    counts = counts.with_columns(pl.col("count").cast(pl.Int64))
    present = [label for label in THE_CONCEPT.colours if label in {*counts[english], *counts[arabic]}]
    domain = alt.Scale(domain=present)
    straight = alt.Axis(labelAngle=0)
    base = alt.Chart(counts).encode(
        x=alt.X(f"{arabic}:N", title="Arabic caption", scale=domain, axis=straight),
        y=alt.Y(f"{english}:N", title="English caption", scale=domain),
    )
    top = int(counts["count"].cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    squares = base.mark_rect(stroke="white").encode(color=alt.Color("count:Q", title="Samples", scale=_blues()))
    white = alt.when(alt.datum.count > top * 0.55).then(alt.value("white")).otherwise(alt.value(ON_PALE))
    numbers = base.mark_text(fontSize=12).encode(text="count:Q", color=white)
    size = 62 * len(present)
    told = "of the English against the Arabic caption of the same sample; off the diagonal they disagree."
    caption = f"{_LABEL.capitalize()} {told}"
    return Figure((squares + numbers).properties(width=size, height=min(size, 46 * len(present))), caption)


def _blues() -> alt.Scale:
    return alt.Scale(scheme="blues", zero=True)
