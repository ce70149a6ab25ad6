"""Search runs the study's own way: a study's caption and picture give the token ids and activations of its index."""

from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from core.activations.tokens import captured_tokens
from core.features.index import FeatureIndex
from core.store.artifacts import Artifact
from core.store.workspace import Workspace
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.schema import Search
from explorer.server.served import Served
from tests.core.activations.conftest import SAMPLES
from tests.explorer.captured_world import LAYER, make_captured_world
from tests.explorer.conftest import NAMES

ASKED = {"study": "noise", "layer": LAYER, "limit": 200}


@pytest.fixture(scope="module")
def workspace(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("searched")
    return make_captured_world(folder / "workspace", folder, tiny_gemma)


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    served = Served(Library(workspace), FeatureLabels(workspace.root / FILE))
    return TestClient(guarded(make_app(served), NAMES, 8000), base_url="http://127.0.0.1:8000")


def folder(workspace: Workspace, step: str) -> Path:
    (record,) = workspace.records()
    (ref,) = [ref for ref in record["artifacts"] if ref.startswith(step)]
    return workspace.store.path(Artifact.from_ref(ref))


@pytest.mark.parametrize(("sample", "language"), [("a", "en"), ("a", "ar"), ("d", "ar")])
def test_a_caption_of_the_study_gives_the_rows_of_its_index(
    client: TestClient, workspace: Workspace, sample: str, language: str
) -> None:
    row = SAMPLES.row(by_predicate=pl.col("sample_id") == sample, named=True)
    picture = (folder(workspace, "prepare") / row["image"]).read_bytes()
    asked = {**ASKED, "text": row[f"caption_{language}"], "language": language}
    answer = Search.model_validate(client.post("/search", params=asked, content=picture).json())
    tokens = captured_tokens([folder(workspace, "capture")]).filter(
        pl.col("language").eq(language) & pl.col("sample_id").eq(sample)
        | pl.col("language").is_null() & pl.col("image_id").eq(row["image_id"])
    )
    found = pl.DataFrame(answer.tokens)
    assert found.select("token_id", "position").sort("position").rows() == [
        (row[0], row[1]) for row in tokens.select("token_id", "position").sort("position").iter_rows()
    ]
    dense = FeatureIndex.open(folder(workspace, "index_features")).matrix().toarray()
    own = dense[tokens.filter(~pl.col("special"))["origin"].to_numpy()].max(axis=0)
    expected = {int(feature): float(own[feature]) for feature in own.nonzero()[0]}
    assert {one["feature"]: one["max"] for one in answer.features} == pytest.approx(expected, rel=2e-2)


def test_control_tokens_in_a_text_stay_text(client: TestClient, tiny_gemma: Path) -> None:
    asked = {**ASKED, "text": "a <start_of_turn> b <bos>"}
    answer = Search.model_validate(client.get("/search", params=asked).json())
    ids = [one["token_id"] for one in answer.tokens if one["segment"] == "caption"]
    from core.lm.loading import load_model

    control = load_model(tiny_gemma, "float32", "cpu").control_ids
    assert ids and not set(ids) & control


def test_a_picture_alone_shows_what_fires_before_any_caption(client: TestClient, workspace: Workspace) -> None:
    picture = (folder(workspace, "prepare") / "noise1.png").read_bytes()
    answer = client.post("/search", params=ASKED, content=picture).json()
    assert {one["segment"] for one in answer["tokens"]} == {"image", "prompt"} and answer["features"]
    only = client.post("/search", params={**ASKED, "segment": "image"}, content=picture).json()
    assert {one["segment"] for one in only["features"]} == {"image"}


@pytest.mark.parametrize(
    ("asked", "body", "told"),
    [
        ({"text": ""}, None, "text: is empty; give a caption, or a picture"),
        ({"text": "a", "language": "fr"}, None, "language: 'fr' is none of en, ar"),
        ({"text": "a", "segment": "image"}, None, "segment: there are no rows of 'image'; give one of prompt, caption"),
        ({"text": "word " * 399}, None, "more than max_caption_tokens"),
        ({"text": "a"}, b"no picture", "picture: is no picture"),
        ({"text": "x" * 2001}, None, "text: String should have at most 2000 characters"),
    ],
)
def test_what_cannot_be_searched_is_told(
    client: TestClient, asked: dict[str, str], body: bytes | None, told: str
) -> None:
    method = "GET" if body is None else "POST"
    answer = client.request(method, "/search", params={**ASKED, **asked}, content=body)
    assert answer.status_code == 422 and told in answer.json()["detail"]


def test_a_full_disk_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.features.fired.capture_shard", full)
    answer = client.get("/search", params={**ASKED, "text": "a"})
    assert answer.status_code == 409 and "No space left on device; free space there" in answer.json()["detail"]


def test_a_model_that_is_another_now_is_refused(client: TestClient, workspace: Workspace, tmp_path: Path) -> None:
    (record,) = workspace.records()
    record.pop("key")
    nowhere = {**record["study"], "name": "gone", "model": {**record["study"]["model"], "path": str(tmp_path)}}
    workspace.remember("gone-1", {**record, "study": nowhere})
    answer = client.get("/search", params={**ASKED, "study": "gone", "text": "a"})
    assert answer.status_code == 409 and str(tmp_path) in answer.json()["detail"]
    workspace.record("gone-1").unlink()
