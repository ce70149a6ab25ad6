"""Whatever is asked within OpenAPI's parameters or beside them, the answer is no server's error.

Schemathesis 4.32.5 was run by hand against a server of the demo's workspace (19 of 19 operations, 1012 requests): no
5xx. The first question with a picture was not answered within its 120 s: beside other work a first question took 46 to
123 s, with 16 to 21 s of processor time. Such a run takes minutes, so that it is no dependency.
"""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from explorer.asking.sent import SentAnswer
from tests.explorer.conftest import client_of
from tests.explorer.world import World

KNOWN: dict[str, list[Any]] = {
    "study": ["cats", "cats-00000001"],
    "layer": [0],
    "feature": [0, 7, 39],
    "sample": ["s03"],
    "sample_id": ["s03"],
    "image_id": ["i03"],
    "sort": ["-count", "label", "association", "row", "-value"],
    "filter": ["label~x", "density>=0.1", "!max", "auroc"],
    "author": ["ada"],
    "language": ["en"],
    "segment": ["image", "caption"],
}
ODD = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["", "..", "%00", "\x00", "🦊", "nan", "1e999", "null", "-", "[]", "'; --", "\ud7ff"]),
)
BODIES = st.one_of(
    st.binary(max_size=30),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "author", "features", "history", "sae"]), inner, max_size=4)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
FIELDS: dict[str, list[Any]] = {
    "feature": [0, 7, 39],
    "other": [3],
    "other_layer": [0, 1, None],
    "top_k": [1],
    "family": ["activity", None],
    "by": ["activity"],
    "x": ["activity"],
    "y": ["sure"],
    "language": ["en", None],
    "where": ["image"],
    "word": ["park"],
    "others": [["garden"]],
    "text": ["a cat", ""],
    "picture": ["iVBORw0KGgo=", "!"],
    "segment": ["caption"],
}
HALF = st.just("\ud800")


def questions(client: TestClient) -> st.SearchStrategy[bytes]:
    """Questions that may be asked, with what may stand in their fields or may not."""
    schema = client.get("/openapi.json").json()
    kinds = [one for one in schema["components"]["schemas"].values() if "ask" in one.get("properties", {})]
    assert len(kinds) == 14
    return st.sampled_from(kinds).flatmap(_filled)


def _filled(kind: dict[str, Any]) -> st.SearchStrategy[bytes]:
    ask = kind["properties"]["ask"]["const"]
    fields = {name: st.sampled_from(FIELDS.get(name, [2])) for name in kind["properties"] if name != "ask"}
    odd = {name: st.one_of(known, known, known, ODD, HALF) for name, known in fields.items()}
    needed = {name: odd.pop(name) for name in kind.get("required", []) if name in odd}
    filled = st.fixed_dictionaries({"ask": st.just(ask), **needed}, optional={**odd, "more": HALF})
    return filled.map(lambda question: json.dumps(question).encode())


@pytest.fixture(scope="module")
def changed(world: World, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client_of(world.copied(tmp_path_factory.mktemp("asked") / "workspace"), study="cats", layer=0)


def operations(client: TestClient) -> list[tuple[str, str, list[dict[str, Any]]]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), address, operation.get("parameters", []))
        for address, methods in paths.items()
        for method, operation in methods.items()
        if address != "/search"
    ]


def test_openapi_shows_every_address_with_what_it_answers(changed: TestClient) -> None:
    document = changed.get("/openapi.json").json()
    assert len(operations(changed)) >= 17
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"] and operation["description"]
            assert {"404", "422"} <= set(operation["responses"])
    shown = json.dumps(document["components"])
    assert '"examples"' in shown


@settings(max_examples=60)
@given(data=st.data())
def test_no_request_is_a_servers_error(changed: TestClient, data: st.DataObject) -> None:
    method, address, parameters = data.draw(st.sampled_from(operations(changed)))
    query = {}
    for parameter in parameters:
        name = parameter["name"]
        value = data.draw(st.one_of(st.sampled_from(KNOWN.get(name, [1])), ODD), label=name)
        if parameter["in"] == "path":
            address = address.replace(f"{{{name}}}", quote(str(value), safe="") or "-")
        elif data.draw(st.booleans()):
            query[name] = str(value)
    body = data.draw(BODIES) if method in ("PUT", "POST") else None
    answer = changed.request(method, address, params=query, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert "\n" not in answer.json()["detail"]


@settings(max_examples=100)
@given(data=st.data())
def test_no_question_is_a_servers_error(changed: TestClient, data: st.DataObject) -> None:
    content = data.draw(questions(changed))
    answer = changed.post("/ask", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert "\n" not in answer.json()["detail"]
    else:
        assert SentAnswer.model_validate(answer.json()).answer().title
