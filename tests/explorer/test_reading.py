"""What the server says is what the index, the tokens and the samples hold."""

import io
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from explorer.reading.samples import by_feature
from explorer.server.schema import (
    Activations,
    Feature,
    Features,
    Health,
    Layers,
    SampleDocument,
    StudyEntry,
    Top,
    Vocabulary,
)
from tests.explorer.conftest import client_of
from tests.explorer.world import World, planted

LAYER = "/studies/cats/layers/0"


def test_studies_and_layers_are_listed(client: TestClient, world: World) -> None:
    assert Health.model_validate(client.get("/health").json()).status == "ok"
    (study,) = client.get("/studies").json()
    assert StudyEntry.model_validate(study).layers == [0] and study["key"] == "cats-00000001"
    layers = Layers.model_validate(client.get("/studies/cats-00000001/layers").json())
    assert layers.layers[0].sae == world.artifact("train_sae").ref
    assert layers.layers[0].metrics == {"held_out_fvu": 0.3}


@pytest.mark.parametrize("feature", [0, 3, 4, 39])
def test_activations_are_the_planted_ones(client: TestClient, world: World, feature: int) -> None:
    found, page = [], 1
    while True:
        answer = Activations.model_validate(
            client.get(f"{LAYER}/activations/{feature}", params={"page": page, "per_page": 40}).json()
        )
        found += answer.activations
        page += 1
        if not answer.activations:
            break
    expected = planted(world.layer, feature)
    assert {one["row"]: one["value"] for one in found} == pytest.approx(expected, rel=1e-5)
    assert answer.total == len(expected)
    for one in found[:10]:
        own = world.layer.tokens.row(one["row"], named=True)
        assert {name: one[name] for name in ("token", "sample_id", "segment", "position")} == {
            name: own[name] for name in ("token", "sample_id", "segment", "position")
        }


def test_arrow_holds_the_same_rows(client: TestClient, world: World) -> None:
    answer = client.get(f"{LAYER}/activations/4/arrow")
    table = pa.ipc.open_stream(answer.content).read_all()
    found = dict(zip(table["row"].to_pylist(), table["value"].to_pylist()))
    assert found == pytest.approx(planted(world.layer, 4), rel=1e-5)
    assert answer.headers["X-Total"] == str(table.num_rows) == table.schema.metadata[b"total"].decode()
    part = client.get(f"{LAYER}/activations/4/arrow", params={"start": 5, "count": 3})
    assert pa.ipc.open_stream(part.content).read_all()["row"].to_pylist() == sorted(found)[5:8]
    beyond = client.get(f"{LAYER}/activations/4/arrow", params={"start": 10**9})
    assert pa.ipc.open_stream(beyond.content).read_all().num_rows == 0


def test_the_strongest_come_first_where_asked(client: TestClient, world: World) -> None:
    found = client.get(f"{LAYER}/activations/4", params={"sort": "-value", "per_page": 5}).json()["activations"]
    assert [one["value"] for one in found] == pytest.approx(sorted(planted(world.layer, 4).values())[:-6:-1], rel=1e-5)


def test_default_study_and_layer_are_given_at_start_or_400(world: World, client: TestClient) -> None:
    refused = client.get("/activations/4")
    assert refused.status_code == 400 and "start with one STUDY" in refused.json()["detail"]
    own = client.get(f"{LAYER}/activations/4").json()
    for served in (client_of(world, study="cats", layer=0), client_of(world, study="cats")):  # it has one layer
        assert served.get("/activations/4").json() == own


def test_features_are_sorted_by_any_column(client: TestClient, world: World) -> None:
    count = (world.layer.dense > 0)[~world.layer.tokens["special"].to_numpy()].sum(axis=0)
    answer = Features.model_validate(client.get(f"{LAYER}/features", params={"sort": "-count", "per_page": 40}).json())
    assert answer.total == 40
    assert [one["count"] for one in answer.features] == sorted(count.tolist(), reverse=True)
    by_association = client.get(f"{LAYER}/features", params={"sort": "-association", "per_page": 3}).json()["features"]
    assert [one["feature"] for one in by_association] == [7, 2, 0]
    assert by_association[0]["auroc"] == pytest.approx(0.9) and by_association[0]["associated_language"] == "en"
    assert by_association[2]["association"] is None


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (["association>0.3"], [7]),
        (["auroc<0.5"], [2]),
        (["associated_language=en", "association>=0.1"], [2, 7]),
        (["label"], []),
        (["association>0.3", "association<0.3"], []),
    ],
)
def test_features_are_filtered_by_terms(client: TestClient, terms: list[str], expected: list[int]) -> None:
    found = client.get(f"{LAYER}/features", params={"filter": terms}).json()
    assert [one["feature"] for one in found["features"]] == expected and found["total"] == len(expected)


def test_features_that_never_fire_are_found(client: TestClient, world: World) -> None:
    silent = np.flatnonzero(~(world.layer.dense > 0)[~world.layer.tokens["special"].to_numpy()].any(axis=0))
    found = client.get(f"{LAYER}/features", params={"filter": "!max"}).json()["features"]
    assert [one["feature"] for one in found] == silent.tolist() and 3 in silent


def test_association_is_of_the_tests_that_are_asked_for(client: TestClient) -> None:
    asked = {"language": "ar", "position_set": "image", "sort": "-association", "per_page": 1}
    (first,) = client.get(f"{LAYER}/features", params=asked).json()["features"]
    assert first["feature"] == 7 and first["auroc"] == pytest.approx(0.6)


def test_a_feature_has_its_statistics_neighbours_and_examples(client: TestClient, world: World) -> None:
    answer = Feature.model_validate(client.get(f"{LAYER}/features/7").json())
    assert answer.statistics["feature"] == 7 and len(answer.statistics["histogram"]) == 16
    assert [one["language"] for one in answer.associations] == ["en", "ar"]
    assert len(answer.neighbours) == 4 and answer.coactivation and answer.positions
    best = max(answer.examples, key=lambda one: one["value"])
    ordinary = ~world.layer.tokens["special"].to_numpy()
    assert best["value"] == pytest.approx(world.layer.dense[ordinary, 7].max(), rel=1e-5)
    assert Feature.model_validate(client.get(f"{LAYER}/features/3").json()).statistics["max"] is None


def test_the_features_of_a_sample_are_those_of_its_rows(client: TestClient, world: World) -> None:
    answer = Top.model_validate(client.get(f"{LAYER}/top", params={"sample": "s03", "limit": 200}).json())
    own = world.layer.tokens.filter(pl.col("image_id") == "i03", ~pl.col("special"))["index"].to_numpy()
    largest = world.layer.dense[own].max(axis=0)
    assert {one["feature"]: one["max"] for one in answer.features} == pytest.approx(
        {int(feature): float(largest[feature]) for feature in np.flatnonzero(largest)}, rel=1e-5
    )
    assert world.layer.tokens["token"][answer.features[0]["row"]] == answer.features[0]["token"]


@given(data=st.data())
def test_entries_are_summed_by_feature_with_their_strongest_row(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 30))
    column = partial(st.lists, min_size=size, max_size=size)
    entries = pl.DataFrame(
        {
            "index": data.draw(column(st.integers(0, 5))),
            "feature": data.draw(column(st.integers(0, 4))),
            "value": data.draw(column(st.sampled_from([0.5, 1.0, 2.0]))),
        },
        {"index": pl.Int64, "feature": pl.UInt32, "value": pl.Float32},
    )
    rows = [3, 0, 5, 1, 4, 2]
    told = {"token": [f"t{row}" for row in rows], "segment": ["caption"] * 6, "position": rows, "language": [None] * 6}
    tokens = pl.DataFrame({"index": pl.Series(rows, dtype=pl.UInt32), **told})
    found = by_feature(entries, tokens, 3)
    order = sorted(entries.iter_rows(), key=lambda entry: -entry[2])
    features = list(dict.fromkeys(feature for _, feature, _ in order))[:3]
    assert found["feature"].to_list() == features
    for feature, one in zip(features, found.iter_rows(named=True)):
        own = [(row, value) for row, of, value in order if of == feature]
        assert (one["row"], one["max"], one["rows"]) == (*own[0], len(own))
        assert one["sum"] == sum(value for _, value in own) and one["token"] == f"t{own[0][0]}"


def test_a_sample_and_its_picture_are_shown(client: TestClient, world: World) -> None:
    answer = SampleDocument.model_validate(client.get("/samples/s03", params={"study": "cats"}).json())
    assert answer.sample["activity"] == "sings" and answer.sample["sure"] is None
    assert answer.image is not None
    picture = client.get(answer.image)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == (world.folder("prepare") / "images/i03.png").read_bytes()
    assert Image.open(io.BytesIO(picture.content)).size == (8, 8)


def test_the_vocabulary_counts_tokens(client: TestClient, world: World) -> None:
    asked = {"study": "cats", "layer": 0}
    answer = Vocabulary.model_validate(client.get("/context/vocab", params=asked).json())
    rows = world.layer.tokens.group_by("token").len().sort("len", descending=True)["len"]
    assert [one["rows"] for one in answer.tokens] == rows.to_list()[:50]
    found = client.get("/context/vocab", params={**asked, "contains": "woma"}).json()["tokens"]
    assert [one["token"] for one in found] == ["woman"] and found[0]["samples"] == 6
