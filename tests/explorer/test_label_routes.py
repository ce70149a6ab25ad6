"""Labels over HTTP: set, seen in the table of features, removed, exported and imported."""

import json

import pytest
from starlette.testclient import TestClient

from explorer.labels.store import FILE
from explorer.server.schema import Imported, Label, Labels
from tests.explorer.conftest import client_of
from tests.explorer.world import World

LABEL = "/studies/cats/layers/0/features/7/label"


@pytest.fixture
def client(own: World) -> TestClient:
    return client_of(own)


def test_a_label_is_set_seen_and_removed_with_its_history(client: TestClient, own: World) -> None:
    assert Label.model_validate(client.get(LABEL).json()).history == []
    tag = client.get("/studies/cats/layers/0/features/7").headers["ETag"]
    client.put(LABEL, json={"text": " a woman\n is named ", "author": "ada"})
    answer = Label.model_validate(client.put(LABEL, json={"text": "امرأة", "author": "eve"}).json())
    assert answer.label == "امرأة" and [one.text for one in answer.history] == ["امرأة", "a woman is named"]
    assert answer.sae == own.artifact("train_sae").ref
    found = client.get("/studies/cats/layers/0/features", params={"filter": "label~مر"}).json()["features"]
    assert [(one["feature"], one["label"]) for one in found] == [(7, "امرأة")]
    seen = client.get("/studies/cats/layers/0/features/7", headers={"If-None-Match": tag})
    assert seen.status_code == 200 and seen.json()["label"] == "امرأة"
    gone = client.delete(LABEL, params={"author": "ada"}).json()
    assert gone["label"] is None and len(gone["history"]) == 3


def test_an_export_can_be_imported_into_another_workspace(client: TestClient, world: World, tmp_path) -> None:
    client.put(LABEL, json={"text": "women", "author": "ada"})
    exported = Labels.model_validate(client.get("/labels", params={"study": "cats"}).json())
    assert exported.model == "gemma" and exported.features[0]["label"] == "women"
    other = client_of(world.copied(tmp_path / "other"))
    content = json.dumps(exported.model_dump()).encode()
    assert Imported.model_validate(other.post("/labels", content=content).json()).added == 1
    assert Imported.model_validate(other.post("/labels", content=content).json()).added == 0
    assert other.get(LABEL).json()["label"] == "women"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 422, "JSON decode error"),
        (b'{"text": "a"}', 422, "author: Field required"),
        (b'{"text": "", "author": "ada"}', 422, "text: has 0 characters; write 1 to 2000"),
        (b'{"text": "a\\u0000", "author": "ada"}', 422, "control character"),
        (b'{"text": "a", "author": "ada", "time": "now"}', 422, "time: Extra inputs are not permitted"),
        (b"null", 422, ""),
    ],
)
def test_a_wrong_label_is_refused_and_nothing_changes(
    client: TestClient, own: World, body: bytes, status: int, told: str
) -> None:
    answer = client.put(LABEL, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and told in answer.json()["detail"]
    assert not (own.workspace.root / FILE).exists()


def test_a_wrong_file_of_labels_is_refused(client: TestClient) -> None:
    answer = client.post("/labels", content=b"\x00")
    assert answer.status_code == 422 and "is not JSON" in answer.json()["detail"]


def test_a_damaged_database_is_told_and_the_rest_is_read(client: TestClient, own: World) -> None:
    (own.workspace.root / FILE).write_bytes(b"no database" * 1000)
    answer = client.put(LABEL, json={"text": "women", "author": "ada"})
    assert answer.status_code == 409 and "labels are damaged" in answer.json()["detail"]
    assert client.get("/studies/cats/layers/0/activations/7").status_code == 200
