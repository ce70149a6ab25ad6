"""Files that no longer hold what their manifest says: when it is seen, and what it costs to look."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.store.artifacts import MANIFEST, Artifact, ArtifactStore
from core.store.checked import CHECKED, Checked

ARTIFACT = Artifact("capture", "f" * 20)
NAMES = ["a.bin", "deep/b.bin"]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path / "artifacts")
    publish(store, ARTIFACT)
    return store


def publish(store: ArtifactStore, artifact: Artifact) -> None:
    staged = store.staging(artifact)
    (staged / "deep").mkdir()
    for name in NAMES:
        (staged / name).write_bytes(name.encode() * 1000)
    assert store.publish(staged, artifact, {})


def flip(path: Path, keep_time: bool = False) -> None:
    """Change one byte; as an editor does, or (`keep_time`) as a failing disk."""
    before, content = path.stat().st_mtime_ns, bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before, before + (0 if keep_time else 1_000_000_000)))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in order."""
    names: list[str] = []
    original = Checked.read

    def counted(self: Checked, name: str):  # type: ignore[no-untyped-def]
        names.append(name)
        return original(self, name)

    monkeypatch.setattr(Checked, "read", counted)
    return names


def test_what_was_published_is_never_read_again(store: ArtifactStore, read: list[str]) -> None:
    assert store.intact(ARTIFACT) and store.intact(ARTIFACT)
    assert read == []


def test_a_file_is_read_once_where_the_memo_is_lost(store: ArtifactStore, read: list[str]) -> None:
    (store.path(ARTIFACT) / CHECKED).unlink()
    assert store.intact(ARTIFACT) and store.intact(ARTIFACT)
    assert read == NAMES


def test_a_changed_byte_is_seen_and_the_damaged_file_read_once(store: ArtifactStore, read: list[str]) -> None:
    flip(store.path(ARTIFACT) / "a.bin")
    for _ in range(3):
        (fault,) = store.faults(ARTIFACT)
        assert str(fault) == f"{ARTIFACT.ref}/a.bin: content changed"
        assert fault.changed and not fault.doubtful, "it was found right when it was published"
    assert read == ["a.bin"]
    flip(store.path(ARTIFACT) / "a.bin")
    assert store.intact(ARTIFACT), "what was put right again is right"


def test_another_file_of_the_same_size_and_time_is_read(store: ArtifactStore) -> None:
    file = store.path(ARTIFACT) / "a.bin"
    other = file.with_name("other")
    other.write_bytes(bytes(file.stat().st_size))
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.replace(file)  # as rsync --times does
    assert not store.intact(ARTIFACT)


def test_a_byte_that_rots_without_a_trace_is_found_by_verify_alone_and_from_then_on_by_all(
    store: ArtifactStore,
) -> None:
    flip(store.path(ARTIFACT) / "a.bin", keep_time=True)
    assert store.intact(ARTIFACT)
    assert store.verify(ARTIFACT) == [f"{ARTIFACT.ref}/a.bin: content changed"]
    (fault,) = store.faults(ARTIFACT)
    assert fault.doubtful, "units may have read it since it changed"


def test_a_file_that_nobody_had_found_right_is_doubtful(store: ArtifactStore) -> None:
    (store.path(ARTIFACT) / CHECKED).unlink()
    flip(store.path(ARTIFACT) / "a.bin")
    (fault,) = store.faults(ARTIFACT)
    assert fault.doubtful


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _of_another(text: str) -> str:
    return text.replace('\\"a.bin\\"', '\\"b.bin\\"')


@pytest.mark.parametrize(
    "harm",
    [
        _cut,
        lambda _: "",
        lambda _: "[]",
        lambda _: "null",
        lambda _: '{"files": 3, "sha256": 4}',
        lambda _: "[" * 100_000,
        _of_another,
    ],
    ids=["cut", "empty", "list", "null", "foreign", "deep", "changed"],
)
def test_a_damaged_memo_costs_a_reading_and_condemns_nothing(
    store: ArtifactStore, read: list[str], harm: Callable[[str], str]
) -> None:
    memo = store.path(ARTIFACT) / CHECKED
    memo.write_text(harm(memo.read_text()))
    assert store.intact(ARTIFACT) and store.intact(ARTIFACT)
    assert read == NAMES


def test_the_memo_of_another_copy_speaks_for_no_file(store: ArtifactStore, read: list[str]) -> None:
    other = Artifact("capture", "e" * 20)
    publish(store, other)
    read.clear()
    (store.path(other) / CHECKED).replace(store.path(ARTIFACT) / CHECKED)
    assert store.intact(ARTIFACT)
    assert read == NAMES


def test_a_workspace_that_cannot_be_written_is_read_each_time(store: ArtifactStore, read: list[str]) -> None:
    memo = store.path(ARTIFACT) / CHECKED
    memo.unlink()
    memo.mkdir()  # no user, root neither, can put a file in its place
    assert store.intact(ARTIFACT) and store.verify(ARTIFACT) == []
    assert read == NAMES * 2
    assert {path.name for path in store.path(ARTIFACT).iterdir()} == {"a.bin", "deep", CHECKED, MANIFEST}


def test_files_that_the_manifest_does_not_name_are_ignored(store: ArtifactStore) -> None:
    (store.path(ARTIFACT) / "notes.txt").write_text("mine")
    (store.path(ARTIFACT) / f".{CHECKED}.half").write_text("{")
    assert store.intact(ARTIFACT) and store.verify(ARTIFACT) == []


def test_what_is_missing_is_told_before_anything_is_read(store: ArtifactStore, read: list[str]) -> None:
    (store.path(ARTIFACT) / CHECKED).unlink()
    (store.path(ARTIFACT) / "deep" / "b.bin").unlink()
    (fault,) = store.faults(ARTIFACT)
    assert str(fault) == f"{ARTIFACT.ref}/deep/b.bin: missing" and not fault.changed
    assert read == []
    assert store.verify(ARTIFACT) == [f"{ARTIFACT.ref}/deep/b.bin: missing"]


def test_a_shard_behind_a_link_is_looked_at_itself(store: ArtifactStore, tmp_path: Path, read: list[str]) -> None:
    place = store.path(ARTIFACT)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert store.intact(ARTIFACT)
    (tmp_path / "elsewhere" / "a.bin").rename(tmp_path / "a.bin")
    (tmp_path / "elsewhere" / "a.bin").symlink_to(tmp_path / "a.bin")
    assert store.intact(ARTIFACT)
    assert read == [], "a move within a file system changes neither size, time nor inode"
    flip(tmp_path / "a.bin")
    assert not store.intact(ARTIFACT)


def test_a_changed_file_is_not_waited_for(store: ArtifactStore) -> None:
    flip(store.path(ARTIFACT) / "a.bin")
    assert store.missing([ARTIFACT], patience_s=600.0) == [ARTIFACT]


def _look(root: str, times: int) -> None:
    store = ArtifactStore(Path(root))
    for _ in range(times):
        (store.path(ARTIFACT) / CHECKED).unlink(missing_ok=True)
        assert store.intact(ARTIFACT)


def test_racing_readers_leave_a_memo_that_holds(store: ArtifactStore, read: list[str]) -> None:
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_look, args=(str(store.root), 100)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    assert store.intact(ARTIFACT)
    memo = json.loads((store.path(ARTIFACT) / CHECKED).read_text())
    assert sorted(json.loads(memo["files"])) == NAMES
    assert [path.name for path in store.path(ARTIFACT).iterdir() if path.name.startswith(".")] == []
