"""A route that reads its parameters together answers as FastAPI's own does."""

import json
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from explorer.server.read_route import ReadRoute

Number = Annotated[int, Path(ge=0, lt=100)]
VALUES = st.sampled_from(["", "1", "-1", "7", " 7", "1.0", "99", "100", "row", "-value", "nan", "9" * 40, "ü", "a" * 9])
NAMES = st.sampled_from(["page", "sort", "filter", "terms", "text", "layer", "other"])


class Asked(NamedTuple):
    method: str
    layer: int
    text: str | None


async def _asked(request: Request, layer: Number, text: Annotated[str | None, Query(max_length=5)] = None) -> Asked:
    return Asked(request.method, layer, text)


def answer(
    asked: Annotated[Asked, Depends(_asked)],
    feature: Number,
    terms: Annotated[list[str] | None, Query(alias="filter")] = None,
    page: Annotated[int, Query(ge=1, le=9)] = 1,
    sort: Annotated[str, Query(pattern="^(row|-value)$")] = "row",
) -> Response:
    return Response(json.dumps([*asked, feature, terms, page, sort]))


def client_with(kind: type[APIRoute]) -> TestClient:
    app, router = FastAPI(), APIRouter(route_class=kind)
    router.get("/{layer}/{feature}")(answer)
    app.include_router(router)
    return TestClient(app)


OWN, FASTAPIS = client_with(ReadRoute), client_with(APIRoute)


@settings(max_examples=100)
@given(place=st.tuples(VALUES, VALUES), query=st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_answers_and_refusals_are_fastapis_own(place: tuple[str, str], query: list[tuple[str, str]]) -> None:
    address = f"/{place[0] or 1}/{place[1] or 2}?{urlencode(query)}"
    own, fastapis = OWN.get(address), FASTAPIS.get(address)
    assert (own.status_code, own.content) == (fastapis.status_code, fastapis.content)


def test_a_repeated_term_keeps_its_order_and_the_last_page_counts() -> None:
    found = OWN.get("/3/4?filter=b&filter=a&page=2&page=5")
    assert found.json() == ["GET", 3, None, 4, ["b", "a"], 5, "row"]


def test_an_argument_that_is_no_parameter_is_refused_when_the_route_is_made() -> None:
    with pytest.raises(TypeError, match="body is neither the request, a parameter nor a dependency"):
        APIRouter(route_class=ReadRoute).get("/")(lambda body: Response())
