"""The file of answers: damage, other versions, a full disk, and the dry run that leaves it alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.chat.cache import AnswerCache
from core.chat.estimate import CostEstimate, estimate
from core.chat.questions import Picture, Question
from core.errors import BadInput
from core.study.catalogue import ChatProfile
from tests.chat_server import ChatServer, Scripted, fake_endpoint
from tests.core.chat.conftest import Client, questions
from tests.core.chat.drawn import png


@contextmanager
def fake() -> Iterator[ChatServer]:
    with fake_endpoint([Scripted("yes", usage=(5, 5))]) as server:
        yield server


def test_a_dry_run_counts_what_is_missing_and_writes_nothing(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    asked = [*questions(4), questions(1)[0], Question("", ("a" * 400, Picture(png(30, 25))), 100)]
    with fake() as server:
        profile = ChatProfile(url=server.url, model="a/parrot", pictures=True, price_prompt=1, price_completion=10)
        before = estimate(asked, profile, path)
        assert not path.exists() and server.questions == []
        client(server.url).ask(questions(3))
        files = {file: file.read_bytes() for file in tmp_path.iterdir()}
        after = estimate(asked, profile, path)
        assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files
    short, long = (12 + 10) // 4 + 16, 100 + 16 + 300
    assert before == CostEstimate(5, 0, 4 * short + long, 180, pytest.approx((4 * short + long + 1800) / 1e6))
    assert after == CostEstimate(5, 3, short + long, 120, pytest.approx((short + long + 1200) / 1e6))
    assert after.tokens == short + long + 120
    with pytest.raises(BadInput, match="url: write http://host:port/v1"):
        estimate(asked, ChatProfile(url="host", model="m"), path)


def test_on_a_file_system_of_several_machines_no_memory_is_shared(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, mode in (("ext4", "wal"), ("nfs4", "delete"), ("fuse.sshfs", "delete"), ("ext4", "wal")):
        mounts = [
            SimpleNamespace(mountpoint="/", fstype="ext4"),
            SimpleNamespace(mountpoint=str(tmp_path), fstype=kind),
        ]
        monkeypatch.setattr("psutil.disk_partitions", lambda all, mounts=mounts: mounts)
        with fake() as server:
            assert [reply.text for reply in client(server.url).ask(questions(5))] == ["yes"] * 5
        with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as opened:
            assert opened.execute("pragma journal_mode").fetchone() == (mode,)


def test_a_damaged_file_is_named_with_the_fix(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"not a database" * 100)
    told = rf"^answers {path}: damaged \(file is not a database\); move the file aside; what it held is asked again$"
    with fake() as server:
        with pytest.raises(BadInput, match=told):
            client(server.url).ask(questions(1))
        with pytest.raises(BadInput, match=told):
            estimate(questions(1), ChatProfile(url=server.url, model="m"), path)
    assert server.questions == []


def test_a_file_of_another_version_is_refused(client: Client, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as other:
        other.execute("pragma user_version = 99")
    with (
        fake() as server,
        pytest.raises(BadInput, match=r"written by another version of saeflow \(99\); move it aside"),
    ):
        client(server.url).ask(questions(1))


def test_a_folder_that_cannot_be_written_is_told(client: Client, tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").mkdir()
    with fake() as server, pytest.raises(BadInput, match=r"answers .*: cannot be opened"):
        client(server.url).ask(questions(1))


def test_a_full_disk_ends_it_in_one_line_and_what_is_kept_stays(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite says the same of a file that may not grow as of a full disk."""
    prepare = AnswerCache._prepare

    def small(cache: AnswerCache) -> None:
        prepare(cache)
        cache._connection.execute("pragma max_page_count = 12")

    with fake_endpoint([Scripted("yes " * 400)]) as server:
        monkeypatch.setattr(AnswerCache, "_prepare", small)
        with pytest.raises(
            BadInput, match=r"database or disk is full; free space .*; \d+ of 40 questions are answered"
        ):
            client(server.url, concurrency=1).ask(questions(40))
        monkeypatch.undo()
        asked = len(server.questions)
        replies = client(server.url, concurrency=1).ask(questions(40))
    assert 0 < asked < 40 and sum(reply.cached for reply in replies) == asked - 1
    assert sorted(server.counts.values()) == [1] * 39 + [2], "the answer that found no room is asked again"
