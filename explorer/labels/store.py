"""What people call features: one SQLite database per workspace, in which nothing is ever overwritten.

A label belongs to a feature of one SAE artefact: an SAE that is trained again has another fingerprint, and no labels.
Every change is a row of its own; a label is the latest change, and a removed one is a change without text.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.errors import BadInput, first_line
from core.store.databases import damage_of

FILE = "feature-labels.sqlite"
"""The database's name in the workspace."""
_VERSION = 1
_PATIENCE_S = 5.0
_TABLE = """CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sae TEXT NOT NULL, feature INTEGER NOT NULL, layer INTEGER NOT NULL,
    model TEXT NOT NULL, text TEXT, author TEXT NOT NULL, time TEXT NOT NULL)"""
_INDEX = "CREATE INDEX IF NOT EXISTS by_feature ON changes (sae, feature, time, number)"
_COLUMNS = "sae, feature, layer, model, text, author, time"
_LATEST = """NOT EXISTS (SELECT 1 FROM changes later WHERE later.sae = own.sae AND later.feature = own.feature
    AND (later.time, later.number) > (own.time, own.number))"""
_KNOWN = "sae = ? AND feature = ? AND text IS ? AND author = ? AND time = ?"


@dataclass(frozen=True)
class Labelled:
    """A feature that can be labelled: `sae` is its SAE's artefact (`step/fingerprint`), `model` the model's name."""

    sae: str
    feature: int
    layer: int
    model: str


@dataclass(frozen=True)
class Change(Labelled):
    """A label as somebody set it; `text` is null where it was removed. `time` is UTC, ISO 8601 with microseconds."""

    text: str | None
    author: str
    time: str


def model_name(study: Mapping[str, Any]) -> str:
    """The name of a study's model: of its folder, package or factory."""
    model = study["model"]
    return Path(str(model["path"])).name if model.get("path") else str(model["factory"])


class FeatureLabels:
    """The labels of a workspace. The database appears with the first label; several processes may write to it."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock, self._is_whole = clock, False

    def current(self, sae: str) -> dict[int, Change]:
        """The labels of an SAE's features, by feature.

        Raises:
            BadInput: the database is damaged or cannot be read; so do all the others.
        """
        words = f"SELECT {_COLUMNS} FROM changes own WHERE sae = ? AND text IS NOT NULL AND {_LATEST}"
        return {change.feature: change for change in self._read(words, (sae,))}

    def history(self, sae: str, feature: int) -> list[Change]:
        """Every change of one feature's label, the latest first."""
        words = f"SELECT {_COLUMNS} FROM changes WHERE sae = ? AND feature = ? ORDER BY time DESC, number DESC"
        return self._read(words, (sae, feature))

    def of_model(self, model: str) -> list[Change]:
        """Every change of the labels of a model's features: by layer, SAE, feature and time."""
        words = f"SELECT {_COLUMNS} FROM changes WHERE model = ? ORDER BY layer, sae, feature, time, number"
        return self._read(words, (model,))

    def version(self, sae: str | None = None) -> int:
        """A number that is another after every change of an SAE's labels, or of any label where none is named."""
        if not self.path.is_file():
            return 0
        words = "SELECT max(number) FROM changes" + ("" if sae is None else " WHERE sae = ?")
        with self._opened() as database:
            found = database.execute(words, () if sae is None else (sae,)).fetchone()
        return int(found[0] or 0)

    def put(self, labelled: Labelled, text: str | None, author: str) -> Change:
        """Set a label, or with no text remove it; the change is on disk when this returns.

        Raises:
            BadInput: the disk is full, or another process writes for longer than 5 s; nothing is changed then.
        """
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            words = "SELECT max(time) FROM changes WHERE sae = ? AND feature = ?"
            (last,) = database.execute(words, (labelled.sae, labelled.feature)).fetchone()
            change = Change(**asdict(labelled), text=text, author=author, time=_after(self._clock(), last))
            _insert(database, change)
            database.execute("COMMIT")
        return change

    def merge(self, changes: Iterable[Change]) -> int:
        """Add the changes that are not there yet, all or none; how many these were. The latest by time stays current.

        Raises:
            BadInput: as `put`.
        """
        with self._opened() as database:
            database.execute("BEGIN IMMEDIATE")
            added = sum(_insert(database, change) for change in changes if not _is_known(database, change))
            database.execute("COMMIT")
        return added

    def _read(self, words: str, values: Sequence[object]) -> list[Change]:
        if not self.path.is_file():
            return []
        with self._opened() as database:
            return [Change(*row) for row in database.execute(words, values)]

    def _look(self) -> None:
        """Make sure, once, that the database is whole."""
        if not self._is_whole and (damage := damage_of(self.path)):
            raise self._damaged(damage)
        self._is_whole = True

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._look()
        try:
            with closing(sqlite3.connect(self.path, _PATIENCE_S, isolation_level=None)) as database:
                self._prepare(database)
                yield database  # closing an open transaction takes it back
        except sqlite3.OperationalError as error:
            raise BadInput(f"{self.path}: {_words(error)}; the labels are as they were") from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(first_line(error)) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise BadInput(f"{self.path}: written by a later saeflow (version {version}); update saeflow")
        database.execute("PRAGMA synchronous = FULL")
        if version < _VERSION:
            with suppress(sqlite3.OperationalError):  # another process has just made the database, and this with it
                database.execute("PRAGMA journal_mode = WAL")
            database.execute(_TABLE)
            database.execute(_INDEX)
            database.execute(f"PRAGMA user_version = {_VERSION}")

    def _damaged(self, damage: str) -> BadInput:
        return BadInput(
            f"{self.path}: the labels are damaged ({damage}); move the file away with its -wal and -shm, and import "
            "the last export"
        )


def _after(now: datetime, last: str | None) -> str:
    """The time of a change: now, or just behind the last one where another machine's clock is ahead."""
    found = now.astimezone(UTC).isoformat(timespec="microseconds")
    if last is None or found > last:
        return found
    return (datetime.fromisoformat(last) + timedelta(microseconds=1)).isoformat(timespec="microseconds")


def _is_known(database: sqlite3.Connection, change: Change) -> bool:
    values = (change.sae, change.feature, change.text, change.author, change.time)
    return database.execute(f"SELECT 1 FROM changes WHERE {_KNOWN}", values).fetchone() is not None


def _insert(database: sqlite3.Connection, change: Change) -> bool:
    database.execute(f"INSERT INTO changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(change))
    return True


def _words(error: sqlite3.OperationalError) -> str:
    said = first_line(error)
    if "locked" in said:
        return f"another process writes labels for longer than {_PATIENCE_S:.0f} s; save again"
    if "full" in said:
        return "the disk is full; free space and save again"
    return f"cannot be read or written ({said}); see to the folder's rights and to the disk"
