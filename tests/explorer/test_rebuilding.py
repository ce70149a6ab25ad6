"""An index that is made again under a running server is either the old one or the new one, never a bit of both."""

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from core.store.workspace import Workspace
from tests.explorer.conftest import client_of
from tests.explorer.world import World, planted

LAYER = "/studies/cats/layers/0"


def arrow(client: TestClient, feature: int) -> tuple[str, dict[int, float]]:
    table = pa.ipc.open_stream(client.get(f"{LAYER}/activations/{feature}/arrow").content).read_all()
    values = dict(zip(table["row"].to_pylist(), table["value"].to_pylist()))
    return table.schema.metadata[b"version"].decode(), values


def test_another_index_has_another_version_and_tag(own: World) -> None:
    client = client_of(own)
    version, values = arrow(client, 4)
    page = client.get(f"{LAYER}/features")
    own.rebuilt(100.0)
    again, others = arrow(client, 4)
    assert again != version and others != values
    assert np.mean(list(others.values())) > 90
    fresh = client.get(f"{LAYER}/features", headers={"If-None-Match": page.headers["ETag"]})
    assert fresh.status_code == 200 and fresh.json()["features"][4]["mean"] > 90
    second = client.get(f"{LAYER}/features", params={"page": 2, "version": version})
    assert second.status_code == 409 and "start at page 1" in second.json()["detail"]


def test_the_same_bytes_again_keep_version_and_tag(own: World) -> None:
    client = client_of(own)
    tag = client.get(f"{LAYER}/features").headers["ETag"]
    own.rebuilt(0.0)
    assert client.get(f"{LAYER}/features", headers={"If-None-Match": tag}).status_code == 304


def test_every_answer_meanwhile_is_wholly_one_or_the_other(own: World) -> None:
    client = client_of(own)
    old = planted(own.layer, 4)
    seen: list[tuple[str, dict[int, float]]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = client.get(f"{LAYER}/activations/4/arrow")
            if answer.status_code == 200:
                table = pa.ipc.open_stream(answer.content).read_all()
                values = dict(zip(table["row"].to_pylist(), table["value"].to_pylist()))
                seen.append((table.schema.metadata[b"version"].decode(), values))
            else:
                assert answer.status_code in (404, 409)  # for a moment there is none

    thread = threading.Thread(target=ask)
    thread.start()
    own.rebuilt(100.0)
    version, new = arrow(client, 4)
    stop.set()
    thread.join()
    for told, values in seen:
        assert values == new if told == version else values == pytest.approx(old, rel=1e-5)


def test_a_study_that_is_run_meanwhile_appears(own: World) -> None:
    client = client_of(own)
    (record,) = own.workspace.records()
    record.pop("key")
    own.workspace.remember("dogs-1", {**record, "study": {**record["study"], "name": "dogs"}})
    assert {one["name"] for one in client.get("/studies").json()} == {"cats", "dogs"}
    assert client.get("/studies/dogs/layers/0/features/7").status_code == 200


def test_what_is_missing_or_damaged_is_told_with_the_command(own: World) -> None:
    client = client_of(own)
    own.workspace.store.set_aside(own.artifact("index_features"))
    gone = client.get(f"{LAYER}/features")
    assert (
        gone.status_code == 404
        and "layer 0 of cats is not there; no layer is indexed yet: `saeflow status` shows" in gone.json()["detail"]
    )
    samples = own.folder("prepare") / "samples.parquet"
    samples.write_bytes(samples.read_bytes()[:-1])
    damaged = client.get("/samples/s03", params={"study": "cats"})
    assert damaged.status_code == 409 and "saeflow run cats" in damaged.json()["detail"]


def test_a_damaged_index_is_not_read(own: World) -> None:
    values = own.folder("index_features") / "csc_values.npy"
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)
    answer = client_of(own).get(f"{LAYER}/activations/4")
    assert answer.status_code == 409
    assert (
        "csc_values.npy: content changed; what is damaged is made again by: saeflow run cats" in answer.json()["detail"]
    )


def test_a_workspace_without_studies_is_empty(tmp_path: Path, world: World) -> None:
    empty = client_of(World(Workspace(tmp_path), world.layer, {}))
    assert empty.get("/studies").json() == []
