"""Labels: nothing is overwritten, whatever happens to the disk, the database or the other server."""

import json
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from explorer.labels.files import label_text, read, written
from explorer.labels.store import FILE, Change, FeatureLabels, Labelled

SAE = "train_sae/0123456789abcdef0123"
WOMAN = Labelled(SAE, 3, 17, "captioner")


@pytest.fixture
def labels(tmp_path: Path) -> FeatureLabels:
    return FeatureLabels(tmp_path / FILE)


def test_the_latest_change_is_the_label_and_the_rest_its_history(labels: FeatureLabels) -> None:
    assert labels.current(SAE) == {} and labels.history(SAE, 3) == [] and not labels.path.exists()
    labels.put(WOMAN, "women", "ada")
    labels.put(WOMAN, "a woman is named", "eve")
    assert labels.current(SAE)[3].text == "a woman is named"
    assert [(one.text, one.author) for one in labels.history(SAE, 3)] == [("a woman is named", "eve"), ("women", "ada")]
    before = labels.version(SAE)
    labels.put(WOMAN, None, "ada")
    assert labels.current(SAE) == {} and labels.history(SAE, 3)[0].text is None and labels.version(SAE) > before


def test_an_sae_trained_again_inherits_no_label(labels: FeatureLabels) -> None:
    labels.put(WOMAN, "women", "ada")
    assert labels.current("train_sae/ffffffffffffffffffff") == {}


def test_a_change_is_the_latest_though_another_clock_is_ahead(labels: FeatureLabels) -> None:
    ahead = FeatureLabels(labels.path, lambda: datetime(2999, 1, 1, tzinfo=UTC))
    ahead.put(WOMAN, "early", "ada")
    labels.put(WOMAN, "late", "eve")
    assert labels.current(SAE)[3].text == "late"
    assert labels.history(SAE, 3)[0].time > labels.history(SAE, 3)[1].time


def test_two_servers_on_one_workspace_lose_no_change(labels: FeatureLabels) -> None:
    servers = [labels, FeatureLabels(labels.path)]

    def write(number: int) -> None:
        for step in range(10):
            servers[number].put(replace(WOMAN, feature=step), f"from {number}", f"server {number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(labels.history(SAE, step)) == 2 for step in range(10))
    assert sqlite3.connect(labels.path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_is_told_and_changes_nothing(labels: FeatureLabels, monkeypatch: pytest.MonkeyPatch) -> None:
    labels.put(WOMAN, "women", "ada")
    prepare = labels._prepare

    def full(database: sqlite3.Connection) -> None:
        prepare(database)
        database.execute("PRAGMA max_page_count = 1")  # as many pages as there are

    monkeypatch.setattr(labels, "_prepare", full)
    with pytest.raises(BadInput, match=r"the disk is full; free space and save again; the labels are as they were$"):
        labels.put(WOMAN, "w" * 100_000, "ada")
    assert [one.text for one in labels.history(SAE, 3)] == ["women"]


def test_another_writer_is_waited_for_and_then_told(labels: FeatureLabels, monkeypatch: pytest.MonkeyPatch) -> None:
    labels.put(WOMAN, "women", "ada")
    monkeypatch.setattr("explorer.labels.store._PATIENCE_S", 0.05)
    other = sqlite3.connect(labels.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BadInput, match="another process writes labels"):
        labels.put(WOMAN, "men", "eve")
    assert labels.current(SAE)[3].text == "women"  # reading goes on meanwhile
    other.close()


@pytest.mark.parametrize("damage", ["text", "middle"])
def test_a_damaged_database_is_told_and_left_as_it_is(labels: FeatureLabels, damage: str) -> None:
    labels.put(WOMAN, "women", "ada")
    (one,) = labels.history(SAE, 3)
    labels.merge(replace(one, feature=feature, text="w" * 100) for feature in range(200))
    content = bytearray(labels.path.read_bytes())
    content[100 if damage == "middle" else 0 : 6000] = b"no database " * 400
    labels.path.write_bytes(content)
    for ask in (lambda one: one.current(SAE), lambda one: one.put(WOMAN, "x", "ada")):
        with pytest.raises(BadInput, match=r"labels are damaged \(.*\); move the file away .* last export$"):
            ask(FeatureLabels(labels.path))
    assert labels.path.read_bytes() == bytes(content)


def test_a_database_of_a_later_version_is_left_alone(labels: FeatureLabels) -> None:
    labels.put(WOMAN, "women", "ada")
    with sqlite3.connect(labels.path) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(BadInput, match=r"later saeflow \(version 9\)"):
        labels.current(SAE)


def test_an_export_is_imported_once_with_its_history(labels: FeatureLabels, tmp_path: Path) -> None:
    labels.put(WOMAN, "women", "ada")
    labels.put(WOMAN, "نساء", "eve")
    labels.put(replace(WOMAN, feature=5, model="another"), "no", "eve")
    document = written("captioner", labels.of_model("captioner"))
    assert [entry["label"] for entry in document["features"]] == ["نساء"]
    other = FeatureLabels(tmp_path / "other.sqlite")
    changes = read(json.dumps(document).encode())
    assert other.merge(changes) == 2 and other.merge(changes) == 0
    assert other.history(SAE, 3) == labels.history(SAE, 3)


def test_an_import_takes_no_newer_label_away(labels: FeatureLabels) -> None:
    old = Change(SAE, 3, 17, "captioner", "old", "ada", "2020-01-01T00:00:00.000000+00:00")
    labels.put(WOMAN, "new", "eve")
    assert labels.merge([old]) == 1
    assert labels.current(SAE)[3].text == "new" and len(labels.history(SAE, 3)) == 2


def document(**entry: object) -> bytes:
    change = {"text": "women", "author": "ada", "time": "2026-01-01"}
    whole = {"sae": SAE, "layer": 17, "feature": 3, "history": [change], **entry}
    return json.dumps({"format": "saeflow-labels", "version": 1, "model": "m", "features": [whole]}).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"{}", "is no labels file"),
        (document(sae="../../etc/passwd"), r"features\[0\]\.sae: .* is no artefact of an SAE"),
        (document(feature=-1), r"features\[0\]\.feature: -1 is no number from 0 on"),
        (document(layer=True), r"features\[0\]\.layer: True is no number"),
        (document(history={}), r"features\[0\]\.history: is no list"),
        (document(history=[3]), r"history\[0\]: is no entry"),
        (
            document(history=[{"text": "", "author": "a", "time": "2026-01-01"}]),
            r"history\[0\]\.text: has 0 characters",
        ),
        (document(history=[{"text": "a", "author": None, "time": "2026-01-01"}]), r"author: NoneType is no text"),
        (document(history=[{"text": "a", "author": "a", "time": "soon"}]), r"time: 'soon' is no time"),
    ],
)
def test_a_wrong_file_is_refused_by_entry_and_field(content: bytes, told: str) -> None:
    with pytest.raises(BadInput, match=told) as raised:
        read(content)
    assert "\n" not in str(raised.value)


@settings(max_examples=30)
@given(st.text(max_size=20))
def test_any_text_is_a_label_or_refused_in_a_line(text: str) -> None:
    try:
        label = label_text(text)
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert label == " ".join(text.split()) and label.encode("utf-8")
