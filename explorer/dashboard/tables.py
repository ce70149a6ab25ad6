"""The feature table of a layer, and of all layers of a study: searched, filtered, sorted, page by page."""

import math
from typing import Annotated, Any, NamedTuple

import polars as pl
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from core.reading.study import OpenedStudy
from explorer.dashboard import links
from explorer.dashboard.found import found
from explorer.dashboard.kept import kept
from explorer.dashboard.rendering import page, served_by
from explorer.reading.feature_table import LABEL, chosen, ordered, with_labels
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import Refusal
from explorer.server.served import MOST_PAGES, LayerNumber, Served, StudyName

router = APIRouter()
ROWS = 100
_SHOWN = ("density", "mean", "max", "images", "association", "auroc", "q")
_TEXTS = (LABEL, "explanation")
_OF_ALL = ("feature", "count", "density", "mean", "max", "samples", "images", "idf", "association", "auroc", "q")
"""What is kept of every layer: a store of a million features has no room for all statistics."""
_BEST_FIRST = "-association"


class Wanted(NamedTuple):
    """What is looked for: `q` in labels, explanations and numbers, terms as the API's `filter`, a column, a page."""

    q: str
    terms: str
    sort: str
    number: int


async def _wanted(
    q: Annotated[str, Query(max_length=200)] = "",
    terms: Annotated[str, Query(alias="filter", max_length=1000)] = "",
    sort: Annotated[str, Query(max_length=64)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=MOST_PAGES)] = 1,
) -> Wanted:
    return Wanted(q.strip(), terms.strip(), sort, number)


AskedTable = Annotated[Wanted, Depends(_wanted)]


@router.get("/s/{study}/l/{layer}")
def layer_table(request: Request, study: StudyName, layer: LayerNumber, wanted: AskedTable) -> HTMLResponse:
    """The features of a layer."""
    served = served_by(request)
    shown = served.library.layer(study, layer)
    labelled = _explained(_labelled(served, shown, shown.table(None, None)), shown.study, layer)
    return _page(request, shown.study, labelled.with_columns(layer=pl.lit(layer, pl.UInt16)), (wanted, layer))


@router.get("/s/{study}/features")
def study_table(request: Request, study: StudyName, wanted: AskedTable) -> HTMLResponse:
    """The features of all layers of a study."""
    served = served_by(request)
    opened = served.library.study(study)
    parts = [_part(served, opened, layer) for layer in opened.layers]
    return _page(request, opened, pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame(), (wanted, None))


def _part(served: Served, study: OpenedStudy, layer: int) -> pl.DataFrame:
    """A layer's share of the table of all; layers are opened one after the other, and none is held."""
    shown = served.library.layer(study.key, layer)
    table = _labelled(served, shown, _kept(shown))
    return _explained(table, study, layer).with_columns(layer=pl.lit(layer, pl.UInt16))


@kept(256)
def _kept(shown: ShownLayer) -> pl.DataFrame:
    table = shown.table(None, None)
    return table.select(column for column in _OF_ALL if column in table.columns)


def _labelled(served: Served, shown: ShownLayer, table: pl.DataFrame) -> pl.DataFrame:
    labels = served.labels.current(shown.sae)
    return with_labels(table, {feature: str(change.text) for feature, change in labels.items()})


def _explained(table: pl.DataFrame, study: OpenedStudy, layer: int) -> pl.DataFrame:
    """The table with the best explanation of each feature, null where it has none."""
    made = found(study, "interpretation").table("explanations", layer=layer)
    if made is None or not {"explanation", "score"} <= set(made.columns):
        return table.with_columns(explanation=pl.lit(None, pl.String))
    best = made.sort("score", descending=True, nulls_last=True).unique("feature", keep="first", maintain_order=True)
    return table.join(best.select("feature", "explanation"), on="feature", how="left", maintain_order="left")


def _page(request: Request, study: OpenedStudy, table: pl.DataFrame, asked: tuple[Wanted, int | None]) -> HTMLResponse:
    wanted, layer = asked
    fault = ""
    try:
        result = _found(table, wanted)
    except Refusal as refusal:
        result, fault = table.clear(), str(refusal)
    last = max(1, math.ceil(result.height / ROWS))
    number = min(wanted.number, last)
    columns = [name for name in _SHOWN if name in table.columns]
    column = wanted.sort.removeprefix("-")
    own = (*columns, *_TEXTS, "feature", "layer")
    context: dict[str, Any] = {
        "study": study,
        "layer": layer,
        "layers": study.layers,
        "wanted": wanted,
        "sort": wanted.sort or _default_sort(table),
        "columns": [*columns, column] if column in table.columns and column not in own else columns,
        "known": [name for name in table.columns if name not in ("layer",)],
        "rows": result[(number - 1) * ROWS : number * ROWS].to_dicts(),
        "total": result.height,
        "whole": table.height,
        "number": number,
        "last": last,
        "fault": fault,
        "here": links.all_features_at(study.key) if layer is None else links.layer_at(study.key, layer),
    }
    return page(request, "features.html.j2", 422 if fault else 200, **context)


def _default_sort(table: pl.DataFrame) -> str:
    """The strongest association first, or the feature's number where nothing was ranked."""
    known = "association" in table.columns and table["association"].is_not_null().any()
    return _BEST_FIRST if known else "feature"


def _found(table: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    """The rows that are looked for, sorted; ties stay as they are, by layer and feature."""
    if not table.width:
        return table
    terms = [term.strip() for term in wanted.terms.split(",") if term.strip()]
    result = chosen(table, terms)
    if wanted.q:
        result = result.filter(_said(wanted.q))
    sort = wanted.sort or _default_sort(table)
    ordered(result.clear(), sort)  # refuses a column that is not there
    return result.sort(sort.removeprefix("-"), descending=sort.startswith("-"), nulls_last=True, maintain_order=True)


def _said(text: str) -> pl.Expr:
    """Rows whose label or explanation holds the text, or whose feature has this number."""
    words = [
        pl.col(name).str.to_lowercase().str.contains(text.lower(), literal=True).fill_null(False) for name in _TEXTS
    ]
    number = [pl.col("feature") == int(text)] if text.isdecimal() and len(text) < 10 else []
    return pl.any_horizontal(*words, *number)
