"""What each file of an artefact held when it was last read: recorded beside it by size, modification time and inode.

The record is a cache: without it files are read again, and it does not apply to a file of another size, time or inode.
Times come from the file system and are compared with no clock, because hosts that share a workspace have their own.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

CHECKED = "checked.json"
_NEVER = -1
Stamp = tuple[int, int, int]
"""Size, modification time in ns, inode."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file.

    `changed`: its content differs from the manifest. `doubtful`: in addition nobody had found it right before, so that
    units may have read the wrong content.
    """

    place: str
    what: str
    changed: bool = False
    doubtful: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Seen(NamedTuple):
    """What a file held when it was read: its size, time and inode then, its SHA-256, and whether an earlier reading had
    found it right."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str
    was_right: bool = False


class Checked:
    """The memo of the artefact in `folder`: what each of its files held when it was last read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = _read_memo(folder / CHECKED)
        self._before = dict(self._seen)

    def look(self, name: str, sha256: str, stamp: Stamp | None) -> Seen:
        """What the file holds, which should be `sha256`; it is read where the memo does not have this `stamp`.

        Without a stamp it is always read, and what earlier readings found no longer counts.

        Raises:
            OSError: it is not there or cannot be read.
        """
        before = self._seen.get(name)
        if before is not None and before[:3] == stamp:
            return before
        seen = self.read(name)
        was_right = stamp is not None and before is not None and (before.was_right or before.sha256 == sha256)
        return self._keep(name, seen._replace(was_right=was_right))

    def read(self, name: str) -> Seen:
        """Read the file.

        Raises:
            OSError: it is not there or cannot be read.
        """
        with (self._folder / name).open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            seen = Seen(*stamp, hashlib.file_digest(file, "sha256").hexdigest())
            if _stamp(os.fstat(file.fileno())) != stamp:  # written to meanwhile: nothing to remember it by
                seen = seen._replace(mtime_ns=_NEVER)
        return self._keep(name, seen)

    def _keep(self, name: str, seen: Seen) -> Seen:
        self._seen[name] = seen
        return seen

    def save(self) -> None:
        """Write what was learnt, at once or not at all; where nobody may write it is lost, and that is no error."""
        if self._seen == self._before:
            return
        temporary = self._folder / f".{CHECKED}.{uuid4().hex[:12]}"
        with suppress(OSError):
            try:
                temporary.write_text(_sealed(self._seen), encoding="utf-8")
                temporary.replace(self._folder / CHECKED)
            finally:
                temporary.unlink(missing_ok=True)


def faults(folder: Path, ref: str, files: Mapping[str, Any], reread: bool = False) -> list[Fault]:
    """What is wrong with the files of the artefact in `folder`, of which its manifest says `files`.

    A file of the right size is read unless the memo has its stamp; with `reread` every file is read, and what earlier
    readings found no longer counts. Files that the manifest does not name are ignored.

    Raises:
        KeyError, TypeError: `files` is none of a manifest.
    """
    stamps = {name: _stamp_of(f"{folder}/{name}") for name in sorted(files)}
    sizes = {
        name: Fault(f"{ref}/{name}", "missing" if stamp is None else f"{stamp[0]} bytes, manifest says {size}")
        for name, stamp in stamps.items()
        if stamp is None or stamp[0] != (size := files[name]["size"])
    }
    if sizes and not reread:
        return list(sizes.values())
    memo = Checked(folder)
    there = {name: None if reread else stamp for name, stamp in stamps.items() if name not in sizes}
    contents = (_content(memo, f"{ref}/{name}", name, files[name]["sha256"], stamp) for name, stamp in there.items())
    found = [*sizes.values(), *(fault for fault in contents if fault is not None)]
    memo.save()
    return found


def _content(memo: Checked, place: str, name: str, sha256: str, stamp: Stamp | None) -> Fault | None:
    try:
        seen = memo.look(name, sha256, stamp)
    except OSError as error:
        return Fault(place, f"cannot be read ({error.strerror})")
    return None if seen.sha256 == sha256 else Fault(place, "content changed", True, doubtful=not seen.was_right)


def _stamp_of(path: str) -> Stamp | None:
    try:
        return _stamp(os.stat(path))  # noqa: PTH116  # a Path costs as much again, and there are thousands
    except (OSError, ValueError):  # ValueError: no file can have such a name
        return None


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _sealed(seen: Mapping[str, Seen]) -> str:
    """A memo as text, with its own hash: a byte that flips in a memo must condemn no file."""
    files = json.dumps(seen)
    return json.dumps({"files": files, "sha256": hashlib.sha256(files.encode()).hexdigest()})


def _read_memo(path: Path) -> dict[str, Seen]:
    """What a memo says; nothing where it is missing, damaged or somebody else's."""
    try:
        memo = json.loads(path.read_text(encoding="utf-8"))
        if memo["sha256"] != hashlib.sha256(memo["files"].encode()).hexdigest():
            return {}
        return {name: Seen(*entry) for name, entry in json.loads(memo["files"]).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
