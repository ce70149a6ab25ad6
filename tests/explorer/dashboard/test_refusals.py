"""What is not there is told on a designed page to browsers, and in JSON to programs."""

import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.parsed import parsed

LAYER = "/s/cats-00000001/l/0"


@pytest.mark.parametrize(
    ("address", "status", "told"),
    [
        ("/s/dogs", 404, "study 'dogs': is not shown here"),
        ("/s/cats/l/7", 404, "layer 7 of cats is not there"),
        (f"{LAYER}/f/40", 404, "feature 40 is not there; layer 0 has features 0-39"),
        (f"{LAYER}/f/x", 422, "feature: Input should be a valid integer"),
        (f"{LAYER}/f/{'9' * 400}", 422, "feature: Input should be less than"),
        (f"{LAYER}/f/7?by=nothing", 422, "'nothing' is no attribute of the samples; give one of activity"),
        (f"{LAYER}/f/7?by=activity&language=fr", 422, "'fr' is none of en, ar"),
        ("/s/cats/samples/nobody", 404, "sample 'nobody': is none of cats"),
        ("/s/cats/samples/s03?layer=9", 404, "layer 9 of cats is not there"),
        ("/compare?a=dogs&b=cats", 404, "study 'dogs': is not shown here"),
        ("/compare?a=cats:9&b=cats", 404, "layer 9 of cats is not there"),
        ("/compare?a=cats:0:7&b=cats:0", 400, "a feature is compared to a feature"),
        ("/compare?a=cats:0:7&b=cats:0:99", 404, "feature 99 is not there"),
        ("/find?study=cats&layer=0&text=hello", 422, "others can search"),
        ("/find?study=dogs", 404, "study 'dogs': is not shown here"),
        ("/nothing", 404, "This is not here"),
        ("/static/secret.css", 404, "This is not here"),
        ("/static/..%2fapp.py", 404, "This is not here"),
        ("/studies/dogs/layers", 404, "study 'dogs': is not shown here"),
    ],
)
def test_what_is_not_there_is_a_page_that_says_what_to_do(
    bare: TestClient, address: str, status: int, told: str
) -> None:
    answer = bare.get(address)
    page = parsed(answer.text)
    assert answer.status_code == status and told in page.words
    assert page.headings[0] == 1 and "/" in page.links
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("address", ["/studies/dogs/layers", "/nothing", "/studies/cats/layers/0/features?sort=meen"])
def test_programs_are_answered_in_json(bare: TestClient, address: str) -> None:
    answer = bare.get(address, headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "application/json" and "\n" not in answer.json()["detail"]
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_form_that_is_none_is_refused(bare: TestClient) -> None:
    answer = bare.post("/find", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 422 and "send multipart/form-data" in answer.text


def test_a_picture_reaches_the_search_as_it_was_sent(bare: TestClient) -> None:
    files = {"picture": ("no.png", b"\r\n\x00no picture\r\n--\r\n", "image/png")}
    answer = bare.post("/find", data={"study": "cats", "layer": "0"}, files=files)
    assert answer.status_code == 422 and "is no picture" in parsed(answer.text).words
