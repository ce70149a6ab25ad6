"""The page of all studies, and each study's map of layers."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import polars as pl
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from core.errors import BadInput
from core.reading.records import without_frozen
from core.reading.study import OpenedStudy
from core.store.artifacts import DamagedArtifact
from explorer.dashboard import links, words
from explorer.dashboard.charts import Chart, Frame, Line, Point, line_chart
from explorer.dashboard.found import Found, found
from explorer.dashboard.rendering import page, served_by
from explorer.server.served import StudyName

router = APIRouter()
_QUALITY = {"held_out_fvu": "Fraction of variance unexplained", "held_out_l0": "Active features per row (L0)"}
_SHARES = {"dead_fraction": ("dead", "c2"), "dense_fraction": ("dense", "c1")}
_COLOURS = {"en": "en", "ar": "ar", "shared": "shared"}


class StudyCard(NamedTuple):
    """A study or variant in the list."""

    study: OpenedStudy
    samples: int | None
    fault: str


@router.get("/")
def all_studies(request: Request) -> HTMLResponse:
    """The studies that are shown, each with its variants."""
    cards = [_card(study) for study in served_by(request).library.studies()]
    ordered = sorted(enumerate(cards), key=lambda one: (_first(cards, one[1].study.name), one[0]))
    groups = groupby((card for _, card in ordered), key=lambda card: card.study.name)
    return page(request, "studies.html.j2", groups=[(name, list(group)) for name, group in groups])


@router.get("/s/{study}")
def layer_map(request: Request, study: StudyName) -> HTMLResponse:
    """The layers of a study: how good their SAEs are, and where the concept can be read off."""
    shown = served_by(request).library.study(study)
    metrics = shown.sae_metrics()
    overview = found(shown, "overview")
    return page(
        request,
        "layers.html.j2",
        study=shown,
        trained=without_frozen(shown.key),
        quality=quality_charts(shown, metrics),
        emergence=emergence_charts(shown, overview),
        reason=overview.reason,
        layers=_layer_rows(request, shown, metrics),
    )


def quality_charts(study: OpenedStudy, metrics: Mapping[int, Mapping[str, Any]]) -> list[Chart]:
    """FVU and L0 beside those of the frozen dictionaries, where there are some, and the shares of dead and dense
    features, by layer."""
    floor = study.frozen.sae_metrics() if study.frozen is not None else {}
    single = [
        line_chart(
            Frame(title, "Layer", (0, 0)),
            [
                Line(words.name(column), "c0", _points(study, metrics, column)),
                *([Line("frozen decoder", "control", _points(study.frozen, floor, column))] if study.frozen else []),
            ],
        )
        for column, title in _QUALITY.items()
    ]
    shares = [Line(name, css, _points(study, metrics, column)) for column, (name, css) in _SHARES.items()]
    drawn = [*single, line_chart(Frame("Share of features that never fire, or fire often", "Layer", (0, 0.01)), shares)]
    return [chart for chart in drawn if chart is not None]


def _points(study: OpenedStudy, metrics: Mapping[int, Mapping[str, Any]], column: str) -> list[Point]:
    known = [(layer, one.get(column)) for layer, one in metrics.items()]
    return [Point(x, float(y), link=links.layer_at(study.key, x)) for x, y in known if y is not None]


def emergence_charts(study: OpenedStudy, overview: Found) -> list[Chart]:
    """Held-out AUROC of the concept by layer, a chart per position set, of the probe that has a shuffled control."""
    table = overview.table("emergence")
    if table is None or not {"auroc", "low", "high", "shuffled", "method"} <= set(table.columns):
        return []
    tested = table.filter(pl.col("shuffled").is_not_null())
    shown = tested.filter(pl.col("method") == tested["method"][0]) if tested.height else table.clear()
    charts = []
    for (place,), part in shown.partition_by("position_set", as_dict=True, maintain_order=True).items():
        by_language = part.partition_by("language", as_dict=True, maintain_order=True)
        lines = [_emergence(study, str(code), rows) for (code,), rows in by_language.items()]
        frame = Frame(f"{place} rows", "Layer", (0.4, 1), 0.5)
        charts.append(line_chart(frame, [*lines, _shuffled(part)]))
    return [chart for chart in charts if chart is not None]


def _emergence(study: OpenedStudy, code: str, rows: pl.DataFrame) -> Line:
    chosen = rows.sort("layer").select("layer", "auroc", "low", "high").rows()
    points = [Point(layer, y, low, high, links.layer_at(study.key, layer)) for layer, y, low, high in chosen]
    return Line(words.language(code), _COLOURS.get(code, "c0"), points)


def _shuffled(rows: pl.DataFrame) -> Line:
    """The control: the same probe of shuffled labels, its widest interval over languages."""
    ends = rows.group_by("layer").agg(
        pl.col("shuffled").mean(), pl.col("shuffled_low").min(), pl.col("shuffled_high").max()
    )
    return Line("shuffled labels", "control", [Point(*row) for row in ends.sort("layer").rows()])


def _layer_rows(request: Request, study: OpenedStudy, metrics: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    labels = served_by(request).labels
    return [
        {"layer": layer, **metrics.get(layer, {}), "labels": len(labels.current(study.layer_artifacts(layer).sae.ref))}
        for layer in study.layers
    ]


def _card(study: OpenedStudy) -> StudyCard:
    try:
        return StudyCard(study, study.samples.height, "")
    except (BadInput, DamagedArtifact) as error:
        return StudyCard(study, None, str(error))


def _first(cards: Iterable[StudyCard], name: str) -> int:
    return next(place for place, card in enumerate(cards) if card.study.name == name)
