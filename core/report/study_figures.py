"""The study itself in figures: its captions' labels, the stream by layer; the autoencoders' are in `sae_figures`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import altair as alt
import polars as pl

from core.data.concept import Concept, capitalised
from core.data.known_concepts import THE_CONCEPT
from core.data.languages import LANGUAGE_NAMES
from core.figures.theme import HALF, ON_PALE, Figure, label_colour
from core.report import health_figures as health
from core.report import sae_figures as saes
from core.report.contents import label_figures_of

_SPLITS = ["train", "select", "test"]


def figures(tables: Mapping[str, pl.DataFrame], concepts: Sequence[Concept] = (THE_CONCEPT,)) -> dict[str, Figure]:
    """The study's figures; a table that is missing or empty has none.

    `samples` as `prepare` wrote them; `sae` one row per layer of `core.sae.metrics.final_metrics`; `history` the
    training curves with a column `layer`; `health` one row per layer (rows, outlier_rows, outlier_fraction,
    outlier_share, scale, top_share, gamma, mean_norm_SEGMENT);
    `sweep` one row per layer and variant, where several autoencoders were trained; `density` one row per layer and bin
    of the features' firing rates (low: its lower end, log10; features: how many); `l0` the same of active features a
    held-out row (low: log2; rows: how many).
    """
    makers: dict[str, tuple[str, Callable[[pl.DataFrame], Figure | None]]] = {}
    for number, concept in enumerate(concepts):
        labels, agreement = label_figures_of(concept, number)
        makers |= {labels: ("samples", partial(_labels, concept)), agreement: ("samples", partial(_agreement, concept))}
    makers |= {
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


def _columns(concept: Concept) -> dict[str, str]:
    return {concept.label_column(code): f"{name} captions" for code, name in LANGUAGE_NAMES.items()}


def label_counts(samples: pl.DataFrame, concept: Concept = THE_CONCEPT) -> pl.DataFrame:
    """Captions by language column, split and label: `captions`, `split`, the concept's name, `count`."""
    columns = [column for column in _columns(concept) if column in samples.columns]
    long = (
        samples.select("split", *columns)
        .unpivot(columns, index="split", variable_name="captions", value_name=concept.name)
        .drop_nulls(concept.name)
    )
    counts = long.group_by("captions", "split", concept.name).len("count")
    return counts.with_columns(pl.col("count").cast(pl.Int64)).sort("captions", "split", concept.name, descending=True)


def _labels(concept: Concept, samples: pl.DataFrame) -> Figure | None:
    counts, name, columns = label_counts(samples, concept), concept.name, _columns(concept)
    if counts.is_empty():
        return None
    present = [label for label in concept.colours if label in set(counts[name])]
    order = pl.DataFrame({name: present, "_order": range(len(present))})
    counts = counts.join(order, on=name, maintain_order="left")
    panels = [
        alt.Chart(counts.filter(captions=captions), title=columns[captions])
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("split:N", title=None, sort=_SPLITS, axis=alt.Axis(domain=False, ticks=False)),
            x=alt.X("count:Q", title="Captions", axis=alt.Axis(tickMinStep=1, format="~s")),
            color=label_colour(name, concept.colours, present),
            order="_order:Q",
            tooltip=["split", name, "count"],
        )
        .properties(width=HALF + 30, height=100)
        for captions in columns
        if captions in set(counts["captions"])
    ]
    caption = f"Captions by split and {name} label. Labels are read off {concept.told_by}."
    return Figure(alt.hconcat(*panels, spacing=30), caption)


def _agreement(concept: Concept, samples: pl.DataFrame) -> Figure | None:
    english, arabic = _columns(concept)
    both = samples.drop_nulls([english, arabic])
    if both.is_empty():
        return None
    counts = both.group_by(english, arabic).len("count").sort(english, arabic)
    counts = counts.with_columns(pl.col("count").cast(pl.Int64))
    present = [label for label in concept.colours if label in {*counts[english], *counts[arabic]}]
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
    caption = f"{capitalised(concept.name)} {told}"
    return Figure((squares + numbers).properties(width=size, height=min(size, 46 * len(present))), caption)


def _blues() -> alt.Scale:
    return alt.Scale(scheme="blues", zero=True)
