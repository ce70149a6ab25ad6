"""Answers that were paid for, kept in an SQLite file that several threads and processes share."""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from core.chat.address import Line
from core.chat.questions import Question, Reply
from core.errors import BadInput, first_line
from core.store.artifacts import canonical_json

_VERSION = 1
_SCHEMA = """
create table if not exists answers (
    key text primary key, text text, failure text not null, prompt_tokens integer not null,
    completion_tokens integer not null, money real not null, model text not null, run text not null,
    profile text not null, answered_at real not null
) without rowid;
create table if not exists spent (
    run text, profile text, tokens integer not null, money real not null, questions integer not null,
    overrun_tokens integer not null, overrun_money real not null, primary key (run, profile)
) without rowid;
create table if not exists under_way (
    id integer primary key, run text not null, profile text not null, key text not null, tokens integer not null,
    money real not null, owner text not null, until real not null
);
create index if not exists under_way_by_run on under_way (run, profile);
create index if not exists under_way_by_key on under_way (key);
create table if not exists paces (profile text primary key, next_at real not null) without rowid;
"""
_WAIT_S = 60.0
_TRIES = 20
_AT_ONCE = 500
_OF_SEVERAL_MACHINES = ("nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "ceph", "afs", "panfs", "weka", "fuse")


def question_key(line: Line, question: Question) -> str:
    """A hash of everything that decides the answer: endpoint, model, texts, pictures, length and temperature."""
    parts = [
        ["text", part] if isinstance(part, str) else ["picture", hashlib.sha256(part.png).hexdigest()]
        for part in question.parts
    ]
    settings = [question.max_tokens, float(question.temperature)]
    told = [line.identity, line.model, question.system, parts, *settings]
    return hashlib.sha256(canonical_json(told).encode("utf-8", "surrogatepass")).hexdigest()


class AnswerCache:
    """An open file of answers. What is written in one `transaction` is there as a whole or not at all."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Take over an open connection; `opened` makes one."""
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> "Iterator[AnswerCache]":
        """The file at `path`, made where it is missing.

        Raises:
            BadInput: it is damaged, of another version, or cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise BadInput(f"answers {path}: cannot be opened ({first_line(error)}); check the folder") from error
        with closing(connection):
            cache = cls(connection, path)
            cache._prepare()
            yield cache

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in one step; other threads and processes wait.

        Raises:
            BadInput: SQLite cannot write: the disk is full, the file damaged or locked for a minute.
        """
        with self._lock, _plainly(self.path):
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def find(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The answers that are kept, by the key of their question."""
        with self._lock, _plainly(self.path):
            return kept_answers(self._connection, keys)

    def _prepare(self) -> None:
        with _plainly(self.path):
            _set_journal(self._connection, _journal(self.path))
            self._connection.execute("pragma synchronous = normal")
            (version,) = self._connection.execute("pragma user_version").fetchone()
        if version not in (0, _VERSION):
            raise BadInput(f"answers {self.path}: written by another version of saeflow ({version}); move it aside")
        if version == 0:
            with self.transaction() as connection:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_VERSION}")


def kept_answers(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Reply]:
    """The answers to these keys that a connection sees."""
    found: dict[str, Reply] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        columns = "key, text, failure, prompt_tokens, completion_tokens"
        rows = connection.execute(f"select {columns} from answers where key in ({marks})", some)
        for key, text, failure, prompt, completion in rows:
            found[key] = Reply(text, failure, prompt, completion, cached=True)
    return found


def look_up(path: Path, keys: Sequence[str]) -> dict[str, Reply]:
    """What a file of answers holds, which is neither made nor changed.

    Raises:
        BadInput: the file is damaged.
    """
    if not path.is_file():
        return {}
    with _plainly(path), closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
        made = connection.execute("select 1 from sqlite_master where name = 'answers'").fetchone()
        return kept_answers(connection, keys) if made else {}


def _set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """SQLite refuses the change, without waiting, while another process makes it."""
    for attempt in range(_TRIES):
        try:
            connection.execute(f"pragma journal_mode = {mode}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt + 1 == _TRIES:
                raise
            time.sleep(0.05)


def _journal(path: Path) -> str:
    """A write-ahead log, with which readers do not wait for writers, shares memory between processes and so serves one
    machine: on a file system of several it is a rollback journal."""
    place = path.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if place.is_relative_to(mount.mountpoint)]
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""
    return "delete" if kind.startswith(_OF_SEVERAL_MACHINES) else "wal"


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """What SQLite finds wrong, in one line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = first_line(error)
        raise BadInput(f"answers {path}: {reason}; free space or check the folder, and run again") from error
    except sqlite3.DatabaseError as error:
        fix = "move the file aside; what it held is asked again"
        raise BadInput(f"answers {path}: damaged ({first_line(error)}); {fix}") from error
