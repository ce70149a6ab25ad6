import json
import multiprocessing
import os
from pathlib import Path

import pytest

from core.artifacts import MANIFEST, RECORD, Artifact, ArtifactStore, fingerprint

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
