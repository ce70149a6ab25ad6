import json
import multiprocessing
import os
from pathlib import Path

import pytest

from core.store.artifacts import MANIFEST, RECORD, Artifact, ArtifactStore, fingerprint

ARTIFACT = Artifact("train_sae", "f" * 20)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def publish(store: ArtifactStore, text: str = "weights") -> bool:
    staged = store.staging(ARTIFACT)
    (staged / "w.bin").write_text(text)
    return store.publish(staged, ARTIFACT, {"metrics": {}})


def test_published_artifact_is_intact_and_names_every_file(store: ArtifactStore) -> None:
    assert not store.intact(ARTIFACT)
    assert publish(store)
    assert store.intact(ARTIFACT)
    assert store.manifest(ARTIFACT)["files"]["w.bin"]["size"] == len("weights")
    assert store.verify(ARTIFACT) == []
    assert list(store) == [ARTIFACT]


def test_unfinished_artifact_is_not_there(store: ArtifactStore) -> None:
    staged = store.staging(ARTIFACT)
    (staged / "w.bin").write_text("half")
    assert not store.intact(ARTIFACT)
    assert list(store) == []


@pytest.mark.parametrize("harm", ["truncate", "delete", "delete manifest", "break manifest"])
def test_damage_is_a_miss_and_a_rerun_mends_it(store: ArtifactStore, harm: str) -> None:
    publish(store)
    file, manifest = store.path(ARTIFACT) / "w.bin", store.path(ARTIFACT) / MANIFEST
    {
        "truncate": lambda: os.truncate(file, 2),
        "delete": file.unlink,
        "delete manifest": manifest.unlink,
        "break manifest": lambda: manifest.write_text("{"),
    }[harm]()
    assert not store.intact(ARTIFACT)
    assert store.verify(ARTIFACT)
    assert publish(store)
    assert store.intact(ARTIFACT)
    aside = [path for path in (store.root / "train_sae").iterdir() if "aside" in path.name]
    assert len(aside) == 1, "a damaged directory is set aside, never removed under a reader"


def test_second_publisher_yields_to_the_first(store: ArtifactStore) -> None:
    staged = store.staging(ARTIFACT)
    (staged / "w.bin").write_text("late")
    elsewhere = store.root / "train_sae" / ".elsewhere"
    staged.rename(elsewhere)
    publish(store, "first")
    assert not store.publish(elsewhere, ARTIFACT, {})
    assert (store.path(ARTIFACT) / "w.bin").read_text() == "first"
    assert not elsewhere.exists()


def _race(root: str, number: int) -> None:
    publish(ArtifactStore(Path(root)), f"writer {number} " * 1000)


def test_racing_publishers_leave_one_whole_artifact(store: ArtifactStore) -> None:
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_race, args=(str(store.root), number)) for number in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    assert store.verify(ARTIFACT) == []
    assert [path.name for path in (store.root / "train_sae").iterdir()] == [ARTIFACT.fingerprint]


@pytest.mark.parametrize(
    ("old", "new"), [("0.25", "0.35"), ("train_sae/aa", "train_sae/ab"), ('"size": 7', '"size": 6')]
)
def test_a_changed_manifest_is_damage(old: str, new: str, store: ArtifactStore) -> None:
    staged = store.staging(ARTIFACT)
    (staged / "w.bin").write_text("weights")
    store.publish(staged, ARTIFACT, {"metrics": {"loss": 0.25, 3: float("nan")}, "inputs": ("train_sae/aa",)})
    manifest = store.path(ARTIFACT) / MANIFEST
    assert store.intact(ARTIFACT) and store.manifest(ARTIFACT)["metrics"]["loss"] == 0.25
    text = manifest.read_text()
    assert text.count(old) == 1
    manifest.write_text(text.replace(old, new))
    assert store.verify(ARTIFACT) == [f"{ARTIFACT.ref}: manifest.json changed"]


def test_a_manifest_of_an_earlier_version_has_no_seal(store: ArtifactStore) -> None:
    publish(store)
    path = store.path(ARTIFACT) / MANIFEST
    path.write_text(json.dumps(store.manifest(ARTIFACT)))
    assert store.intact(ARTIFACT)


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", '{"files": {"a\\u0000b": {"size": 1, "sha256": "x"}}}'])
def test_a_manifest_that_is_none_is_told_in_a_line(text: str, store: ArtifactStore) -> None:
    publish(store)
    (store.path(ARTIFACT) / MANIFEST).write_text(text)
    assert len(store.verify(ARTIFACT)) == 1


def test_the_prefect_record_is_no_part_of_the_manifest(store: ArtifactStore) -> None:
    publish(store)
    (store.path(ARTIFACT) / RECORD).write_text(json.dumps({}))
    assert store.verify(ARTIFACT) == []
    assert RECORD not in store.manifest(ARTIFACT)["files"]


def test_fingerprint_depends_on_each_part_and_not_on_key_order() -> None:
    base = fingerprint("a", 1, {"x": 1, "y": 2}, {"in": ["b/1"]})
    assert base == fingerprint("a", 1, {"y": 2, "x": 1}, {"in": ["b/1"]})
    others = [
        fingerprint("b", 1, {"x": 1, "y": 2}, {"in": ["b/1"]}),
        fingerprint("a", 2, {"x": 1, "y": 2}, {"in": ["b/1"]}),
        fingerprint("a", 1, {"x": 1, "y": 3}, {"in": ["b/1"]}),
        fingerprint("a", 1, {"x": 1, "y": 2}, {"in": ["b/2"]}),
    ]
    assert len({base, *others}) == 5
