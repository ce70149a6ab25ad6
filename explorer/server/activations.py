"""Where a feature is active: page by page in JSON, or all of it as an Arrow stream."""

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Query, Response

from explorer.reading.library import ShownLayer
from explorer.server.answers import ARROW, answer, json_answer, tag_of, unchanged
from explorer.server.pages import Page, of_layer
from explorer.server.read_route import ReadRoute
from explorer.server.schema import Activations
from explorer.server.served import Asked, AskedPage, ByDefault, FeatureNumber, InPath

router = APIRouter(tags=["activations"], route_class=ReadRoute)
Sort = Annotated[Literal["row", "-value"], Query(description="By row, or the strongest first.")]
Start = Annotated[int, Query(ge=0, lt=2**32, description="Place of the first row to send.")]
MOST_ROWS = 1_000_000
Count = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows to send.")]
_TOKEN = ("sample_id", "image_id", "language", "segment", "position", "token", "special")


@router.get("/activations/{feature}", response_model=Activations)
def default_activations(asked: ByDefault, feature: FeatureNumber, page: AskedPage, sort: Sort = "row") -> Response:
    """Where a feature of the default study and layer is active; 400 where the server was started without them."""
    return _page(asked, feature, page, sort)


@router.get("/studies/{study}/layers/{layer}/activations/{feature}", response_model=Activations)
def activations(asked: InPath, feature: FeatureNumber, page: AskedPage, sort: Sort = "row") -> Response:
    """Where a feature is active: a page of rows with their token, sample and value."""
    return _page(asked, feature, page, sort)


@router.get(
    "/studies/{study}/layers/{layer}/activations/{feature}/arrow",
    response_class=Response,
    responses={200: {"content": {ARROW: {}}, "description": "An Arrow IPC stream: row (uint32), value (float32)."}},
)
def arrow(asked: InPath, feature: FeatureNumber, start: Start = 0, count: Count = MOST_ROWS) -> Response:
    """Where a feature is active, as an Arrow IPC stream; `X-Total` counts all its rows, of which this may be a part."""
    shown = asked.feature(feature)
    tag = tag_of(shown.version)
    if same := unchanged(asked.request, tag):
        return same
    found, values = shown.indexed.index.csc(feature)
    part = slice(start, start + count)
    shown.count(len(found[part]))
    about = {name: str(value) for name, value in of_layer(shown, feature=feature, total=len(found)).items()}
    content = _stream(found[part], values[part], about)
    return answer(asked.request, content, ARROW, tag, {"X-Total": str(len(found))})


def _page(asked: Asked, feature: int, page: Page, sort: str) -> Response:
    shown = asked.feature(feature)
    tag = tag_of(shown.version)
    if same := unchanged(asked.request, tag):
        return same
    found, values = shown.indexed.index.csc(feature)
    shown.count(len(found))
    places = np.argsort(-values, kind="stable")[page.span] if sort == "-value" else page.span
    document = of_layer(shown, feature=feature, total=len(found), **page._asdict())
    return json_answer(asked.request, {**document, "activations": _rows(shown, found[places], values[places])}, tag)


def _rows(shown: ShownLayer, found: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
    columns = found.tolist(), *shown.indexed.token_rows.columns(found, _TOKEN), values.tolist()
    return [dict(zip(("row", *_TOKEN, "value"), row)) for row in zip(*columns)]


def _stream(found: np.ndarray, values: np.ndarray, about: dict[str, str]) -> bytes:
    schema = pa.schema([("row", pa.uint32()), ("value", pa.float32())], metadata=about)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array(found), pa.array(values)], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content
