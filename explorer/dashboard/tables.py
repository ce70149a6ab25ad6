"""The feature table of a layer, and of all layers of a study: searched, filtered, sorted, a block of rows at a time.

A block is what a page without its script shows, and what the script asks for while it is scrolled (`part=rows`).
"""

import math
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from core.reading.study import OpenedStudy
from explorer.dashboard import links
from explorer.dashboard.rendering import page
from explorer.dashboard.rows import Source, Tables, Wanted
from explorer.reading.catalogues import CATALOGUE
from explorer.reading.feature_table import LABEL
from explorer.reading.refusals import Refusal
from explorer.server.served import MOST_PAGES, LayerNumber, StudyName

router = APIRouter()
ROWS = 100
_SHOWN = ("density", "mean", "max", "images", "association", "auroc", "q")
_OWN = (LABEL, CATALOGUE, "explanation", "feature", "layer")


class AskedRows(NamedTuple):
    """What is looked for, the first row that is shown of it (from 1 on), and whether the rows are wanted alone."""

    wanted: Wanted
    row: int
    alone: bool


async def _wanted(
    q: Annotated[str, Query(max_length=200)] = "",
    terms: Annotated[str, Query(alias="filter", max_length=1000)] = "",
    sort: Annotated[str, Query(max_length=64)] = "",
    layers: Annotated[str, Query(max_length=200)] = "",
) -> Wanted:
    return Wanted(q.strip(), terms.strip(), sort, layers.strip())


async def _asked(
    wanted: Annotated[Wanted, Depends(_wanted)],
    row: Annotated[int, Query(ge=1, le=MOST_PAGES * ROWS)] = 1,
    number: Annotated[int, Query(alias="page", ge=1, le=MOST_PAGES)] = 1,
    part: Literal["", "rows"] = "",
) -> AskedRows:
    return AskedRows(wanted, row if row > 1 else (number - 1) * ROWS + 1, part == "rows")


AskedTable = Annotated[AskedRows, Depends(_asked)]


@router.get("/s/{study}/l/{layer}")
def layer_table(request: Request, study: StudyName, layer: LayerNumber, asked: AskedTable) -> HTMLResponse:
    """The features of a layer."""
    return _page(request, *_tables(request).of_layer(study, layer), (asked, layer))


@router.get("/s/{study}/features")
def study_table(request: Request, study: StudyName, asked: AskedTable) -> HTMLResponse:
    """The features of all layers of a study."""
    return _page(request, *_tables(request).of_study(study), (asked, None))


def _tables(request: Request) -> Tables:
    tables: Tables = request.app.state.tables
    return tables


def _page(request: Request, study: OpenedStudy, source: Source, what: tuple[AskedRows, int | None]) -> HTMLResponse:
    asked, layer = what
    table, wanted, fault = source.table, asked.wanted, ""
    try:
        order = _tables(request).order(source, wanted)
    except Refusal as refusal:
        order, fault = None, str(refusal)
    total = 0 if order is None else len(order)
    block = min((asked.row - 1) // ROWS, max(0, math.ceil(total / ROWS) - 1))
    sort = wanted.sort or source.usual_sort
    columns = [name for name in _SHOWN if name in table.columns]
    column = sort.removeprefix("-")
    context: dict[str, Any] = {
        "study": study,
        "layer": layer,
        "columns": [*columns, column] if column in table.columns and column not in (*columns, *_OWN) else columns,
        "first": block * ROWS,
        "rows": [] if order is None else table[order[block * ROWS : (block + 1) * ROWS]].to_dicts(),
        "total": total,
    }
    if asked.alone and not fault:
        return page(request, "rows.html.j2", **context)
    context |= {
        "layers": study.layers,
        "wanted": wanted,
        "asked_row": min(asked.row, max(total, 1)),
        "sort": sort,
        "known": [name for name in table.columns if layer is None or name != "layer"],
        "whole": table.height,
        "block": block,
        "last": max(0, math.ceil(total / ROWS) - 1),
        "size": ROWS,
        "fault": fault,
        "here": links.all_features_at(study.key) if layer is None else links.layer_at(study.key, layer),
    }
    return page(request, "features.html.j2", 422 if fault else 200, **context)
