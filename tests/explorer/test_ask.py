"""The questions of `saeflow feature` over HTTP: answered from what is served, as it is now, and the model for one at a
time."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from starlette.testclient import TestClient

from core.store.workspace import Workspace
from explorer.asking.answer import Answer
from explorer.asking.dossier import Asked, dossier
from explorer.asking.looked import Looked
from explorer.asking.questions import LabelShown, Question, Strongest, Sweep
from explorer.asking.sent import SentAnswer
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading import study_model
from explorer.reading.library import Library
from explorer.reading.refusals import BUSY
from explorer.server.app import guarded, make_app
from explorer.server.schema import Answered
from explorer.server.served import Served
from tests.explorer.captured_world import LAYER, make_captured_world
from tests.explorer.conftest import NAMES, client_of
from tests.explorer.world import World, planted

ASK = "/studies/cats/layers/0/ask"


def ask(client: TestClient, question: Question, address: str = ASK) -> Answered:
    answer = client.post(address, json=question.model_dump(mode="json"))
    assert answer.status_code == 200, answer.text
    return Answered.model_validate(answer.json())


@pytest.mark.parametrize(
    "question",
    [Strongest(feature=4), Strongest(feature=4, by="activity", top_k=1), Sweep(feature=4), LabelShown(feature=4)],
    ids=lambda question: question.ask,
)
def test_an_answer_is_what_the_files_say(client: TestClient, world: World, question: Question) -> None:
    found = ask(client, question)
    here = question.answer(Looked.at(world.workspace, "cats", 0))
    there = found.answer()
    assert (there.title, there.lines, list(there.tables)) == (here.title, here.lines, list(here.tables))
    for name, table in here.tables.items():
        assert_frame_equal(there.tables[name], table.fill_nan(None))
    assert (found.study, found.layer) == ("cats-00000001", 0)


def test_every_kind_of_column_arrives_as_it_was() -> None:
    nan = float("nan")
    table = pl.DataFrame(
        {
            "n": [1, None],
            "x": [0.1, nan],
            "x_low": [nan, nan],
            "x_high": [0.2, None],
            "word": ["a", None],
            "is": [True, False],
        },
        schema={
            "n": pl.UInt32,
            "x": pl.Float32,
            "x_low": pl.Float64,
            "x_high": pl.Float64,
            "word": pl.String,
            "is": pl.Boolean,
        },
    )
    answer = Answer("t", ("l",), {"full": table, "empty": table.clear()})
    there = SentAnswer.model_validate_json(SentAnswer.of(answer).model_dump_json()).answer()
    assert_frame_equal(there.tables["full"], table.fill_nan(None))
    assert_frame_equal(there.tables["empty"], table.clear())
    assert there.page() == answer.page() and there.as_json() == answer.as_json()


@pytest.mark.parametrize(
    "table",
    [{"columns": {"n": "Money"}, "rows": []}, {"columns": {"n": "UInt8"}, "rows": [{"n": "much"}]}],
    ids=["kind", "value"],
)
def test_a_table_that_does_not_hold_what_it_says_is_refused(table: dict[str, Any]) -> None:
    sent = SentAnswer.model_validate({"title": "t", "lines": [], "tables": {"it": table}})
    with pytest.raises(ValueError, match="does not hold what its columns say"):
        sent.answer()


def test_the_default_study_and_its_only_layer_are_meant_where_none_is_named(own: World) -> None:
    question = Strongest(feature=4, top_k=1)
    served = client_of(own, study="cats")
    assert ask(served, question, "/ask") == ask(served, question, "/ask?study=cats&layer=0")
    unnamed = client_of(own).post("/ask", json=question.model_dump())
    assert unnamed.status_code == 400 and "no study is named and none is the default" in unnamed.json()["detail"]


def test_what_is_not_served_is_not_told(own: World) -> None:
    (record,) = own.workspace.records()
    record.pop("key")
    own.workspace.remember("dogs-1", {**record, "study": {**record["study"], "name": "dogs"}})
    served = Served(Library(own.workspace, ["cats"]), FeatureLabels(own.workspace.root / FILE))
    client = TestClient(guarded(make_app(served), NAMES, 8000), base_url="http://127.0.0.1:8000")
    hidden = client.post("/ask?study=dogs&layer=0", json={"ask": "top", "feature": 4})
    assert hidden.status_code == 404 and "study 'dogs': is not shown here" in hidden.json()["detail"]


def test_an_index_that_is_made_again_is_noticed(own: World) -> None:
    client, question = client_of(own), Strongest(feature=4, top_k=1)
    before = ask(client, question)
    assert before.tables["strongest"].rows[0]["value"] == pytest.approx(max(planted(own.layer, 4).values()), rel=1e-5)
    own.rebuilt(100.0)
    after = ask(client, question)
    assert after.version != before.version and after.tables["strongest"].rows[0]["value"] > 90
    own.workspace.store.set_aside(own.artifact("index_features"))
    gone = client.post(ASK, json=question.model_dump())
    assert gone.status_code == 404 and "layer 0 of cats is not there" in gone.json()["detail"]


@pytest.mark.parametrize(
    ("question", "status", "told"),
    [
        ({"ask": "top", "feature": 40}, 404, "feature 40 is not there; layer 0 has features 0-39"),
        ({"ask": "top", "feature": -1}, 422, "top.feature: Input should be greater than or equal to 0"),
        ({"ask": "top", "feature": 4, "by": "weather"}, 422, "the samples have no attribute 'weather'; there are "),
        ({"ask": "compare", "feature": 4, "other": 3, "other_layer": 9}, 422, "layer 9 is not there"),
        ({"ask": "sweep", "feature": 4, "where": "\ud800"}, 422, "where: holds '\\ud800', which is no character"),
        ({"ask": "price", "feature": 4}, 422, "ask: this explorer does not know the question 'price'; it knows "),
        ({"feature": 4}, 422, "ask: is missing; name the question"),
        ({"ask": "top", "feature": 4, "wings": 2}, 422, "top.wings: Extra inputs are not permitted"),
        ({"ask": "search", "text": " "}, 422, "text: is empty; give a caption, or a picture"),
        ({"ask": "sweep by intervention", "feature": 4}, 422, "name one attribute with --family, or a word"),
        (
            {"ask": "sweep by intervention", "feature": 4, "word": "a", "others": ["b"] * 101},
            422,
            "--with: has 101 words; give at most 100",
        ),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(
    client: TestClient, question: dict[str, Any], status: int, told: str
) -> None:
    content = json.dumps(question)  # which escapes half a character, as httpx does not
    answer = client.post(ASK, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert told in answer.json()["detail"] and "\n" not in answer.json()["detail"]


@pytest.fixture(scope="module")
def searched(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("asked")
    return make_captured_world(folder / "workspace", folder, tiny_gemma)


def test_a_search_is_what_the_search_address_finds_with_labels(searched: Workspace) -> None:
    labels = FeatureLabels(searched.root / FILE)
    client = TestClient(
        guarded(make_app(Served(Library(searched), labels)), NAMES, 8000), base_url="http://127.0.0.1:8000"
    )
    at = f"study=noise&layer={LAYER}"
    found = client.get(f"/search?{at}&limit=3&segment=caption&text=a+word").json()["features"]
    first = found[0]["feature"]
    label = {"text": "loud", "author": "ada"}
    client.put(f"/studies/noise/layers/{LAYER}/features/{first}/label", json=label)
    asked = {"ask": "search", "text": "a word", "segment": "caption", "top_k": 3}
    (table,) = client.post(f"/ask?{at}", json=asked).json()["tables"].values()
    shown = ("feature", "max", "token", "segment", "language", "rows")
    assert [{name: row[name] for name in shown} for row in found] == [
        {name: row[name] for name in shown} for row in table["rows"]
    ]
    assert [row["label"] for row in table["rows"]] == ["loud", None, None]


def test_a_dossier_is_the_one_that_the_command_writes_from_the_files(searched: Workspace) -> None:
    served = Served(Library(searched), FeatureLabels(searched.root / FILE), "noise", LAYER)
    client = TestClient(guarded(make_app(served), NAMES, 8000), base_url="http://127.0.0.1:8000")
    found = client.post("/ask", json={"ask": "investigate", "feature": 0, "ablate": False}).json()
    assert found["lines"] == [dossier(Looked.at(searched, "noise", LAYER), 0, Asked(ablate=False))]
    assert found["lines"][0].startswith("# feature 0 of layer 3 · noise") and found["tables"] == {}


def test_a_question_that_needs_the_model_waits_for_its_turn(
    searched: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(Library(searched), FeatureLabels(searched.root / FILE), "noise", LAYER)
    client = TestClient(guarded(make_app(served), NAMES, 8000), base_url="http://127.0.0.1:8000")
    monkeypatch.setattr(study_model, "_PATIENCE_S", 0.05)
    study = served.library.study("noise")
    with study_model.opened_model(study, LAYER):
        for question in ({"ask": "search", "text": "a"}, {"ask": "decoder", "feature": 0}):
            busy = client.post("/ask", json=question)
            assert busy.status_code == BUSY and busy.headers["Retry-After"] and "busy" in busy.json()["detail"]
        assert client.get("/search?text=a").status_code == BUSY
        assert client.post("/ask", json={"ask": "top", "feature": 0}).status_code == 200
    assert client.post("/ask", json={"ask": "decoder", "feature": 0}).status_code == 200
