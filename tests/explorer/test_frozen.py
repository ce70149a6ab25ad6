"""A study's frozen dictionaries are shown behind it, as the floor, wherever a study is."""

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.errors import BadInput
from core.reading.records import open_by_name
from core.store.steps import INDEX_FEATURES, TRAIN_SAE
from explorer.dashboard.pages import add_pages
from explorer.labels.store import FILE, FeatureLabels
from explorer.mcp.tools import FeatureTools
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.served import Served
from tests.explorer.conftest import NAMES
from tests.explorer.world import World, publish, write_json

TITLE, KEY = "cats · frozen decoders", "cats-00000001-frozen"


@pytest.fixture(scope="module")
def frozen(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    own = world.copied(tmp_path_factory.mktemp("frozen") / "workspace")
    table = own.artifact("extract_layer")
    sae = TRAIN_SAE.unit("0-frozen", {"layer": 0, "sae": {"frozen_decoder": True}}, {"layer": (table,)})
    inputs = {role: tuple(refs) for role, refs in own.units["index_features"].inputs.items()}
    index = INDEX_FEATURES.unit("0-frozen", {"layer": 0, "frozen": True}, {**inputs, "sae": (sae.artifact,)})

    def copied(folder: Path, step: str) -> None:
        shutil.copytree(own.folder(step), folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)

    publish(own.workspace, sae, lambda folder: (copied(folder, "train_sae"), _measured(folder)))
    publish(own.workspace, index, lambda folder: copied(folder, "index_features"))
    (record,) = own.workspace.records()
    made = [*record["artifacts"], sae.artifact.ref, index.artifact.ref]
    own.workspace.remember(record.pop("key"), {**record, "artifacts": made})
    return own


def _measured(folder: Path) -> None:
    write_json(folder / "metrics.json", {"held_out_fvu": 0.7})


@pytest.fixture(scope="module")
def asked(frozen: World) -> TestClient:
    served = Served(Library(frozen.workspace), FeatureLabels(frozen.workspace.root / FILE))
    return TestClient(guarded(make_app(served, add_pages), NAMES, 8000), base_url="http://127.0.0.1:8000")


def test_they_are_a_study_of_their_own_behind_it(asked: TestClient) -> None:
    assert [(one["key"], one["title"]) for one in asked.get("/studies").json()] == [
        ("cats-00000001", "cats"),
        (KEY, TITLE),
    ]
    (layer,) = asked.get(f"/studies/{TITLE}/layers").json()["layers"]
    assert layer["metrics"] == {"held_out_fvu": 0.7}
    assert asked.get("/studies/cats/layers").json()["layers"][0]["metrics"] == {"held_out_fvu": 0.3}
    feature = asked.get(f"/studies/{KEY}/layers/0/features/7").json()
    assert feature["study"] == KEY and feature["sae"] == layer["sae"] and feature["associations"] == []


def test_a_label_of_the_one_is_none_of_the_other(asked: TestClient) -> None:
    place = "layers/0/features/7/label"
    asked.put(f"/studies/{KEY}/{place}", json={"text": "chance", "author": "ada"})
    assert asked.get(f"/studies/{KEY}/{place}").json()["label"] == "chance"
    assert asked.get(f"/studies/cats/{place}").json()["label"] is None


def test_pages_name_the_floor_and_what_it_is_the_floor_of(asked: TestClient) -> None:
    assert "Dictionaries whose decoders stayed random" in asked.get("/").text
    beside, own = asked.get("/s/cats").text, asked.get(f"/s/{KEY}").text
    assert f'<a href="/s/{KEY}">{TITLE}</a>' in beside and "frozen decoder" in beside
    assert '<a href="/s/cats-00000001">study\'s SAEs</a>' in own
    assert asked.get(f"/s/{KEY}/l/0/f/7").status_code == 200


def test_programs_and_the_command_line_open_them_by_title_or_key(frozen: World, world: World) -> None:
    found = FeatureTools(frozen.workspace).studies().studies
    assert [(one.key, one.title, one.layers) for one in found] == [
        ("cats-00000001", "cats", [0]),
        (KEY, TITLE, [0]),
    ]
    told = FeatureTools(frozen.workspace).overview(7, study=TITLE, layer=0)
    assert told.title == f"feature 7 of layer 0 · {TITLE}" and told.tables
    assert {open_by_name(frozen.workspace, name).key for name in (TITLE, KEY)} == {KEY}
    assert open_by_name(frozen.workspace, "cats").key == "cats-00000001"
    with pytest.raises(BadInput, match="study 'cats': has no frozen dictionaries"):
        open_by_name(world.workspace, TITLE)
