"""Pages for which a model or its SAE is opened: two features side by side, and search by text or picture."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.store.workspace import Workspace
from tests.explorer.captured_world import LAYER, make_captured_world
from tests.explorer.dashboard.conftest import pages_in
from tests.explorer.dashboard.parsed import Parsed, parsed

KEY = f"noise:{LAYER}"


@pytest.fixture(scope="module")
def workspace(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("captured")
    return make_captured_world(folder / "workspace", folder, tiny_gemma)


@pytest.fixture(scope="module")
def pages(workspace: Workspace) -> TestClient:
    return pages_in(workspace)


def value_of(page: Parsed, name: str) -> str:
    return page.words.split(name)[1].split()[0]


def test_two_features_stand_side_by_side(pages: TestClient) -> None:
    found = parsed(pages.get("/compare", params={"a": f"{KEY}:5", "b": f"{KEY}:5"}).text)
    assert value_of(found, "Cosine of the decoder rows") == "1.00"
    assert value_of(found, "Jaccard index") == "1.00"
    others = parsed(pages.get("/compare", params={"a": f"{KEY}:5", "b": f"{KEY}:6"}).text)
    assert "Feature 6 of layer" in others.words and value_of(others, "Jaccard index") != "1.00"


def test_a_text_is_searched_and_shaded_where_features_fire(pages: TestClient) -> None:
    asked = {"study": "noise", "layer": str(LAYER), "text": "a woman sings"}
    page = parsed(pages.get("/find", params=asked).text)
    assert f"Features of layer {LAYER} that fire" in page.words
    assert [own for own in page.named("span") if own.get("class", "").startswith("h")]
    assert any(link.startswith("/s/noise-1/l/") for link in page.links)


def test_a_picture_is_searched(pages: TestClient, workspace: Workspace) -> None:
    picture = next((workspace.store.root / "prepare").rglob("*.png")).read_bytes()
    files = {"picture": ("picture.png", picture, "image/png")}
    answer = pages.post("/find", data={"study": "noise", "layer": str(LAYER), "text": ""}, files=files)
    assert answer.status_code == 200 and "that fire" in parsed(answer.text).words
