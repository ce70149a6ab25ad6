"""SHA-256 of files outside the workspace, remembered by path, size and modification time."""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from core.store.artifacts import canonical_json, sha256_file


class HashMemo:
    """SHA-256 of files, remembered in a JSON file by path, size and modification time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[object]] = {}
        self._changed = False
        if path.is_file():
            try:
                self._known = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                self._known = {}  # a memo only: a damaged one costs time, not truth

    def sha256(self, path: Path) -> str:
        """The file's hash, computed only when its size or time has changed."""
        stat = path.stat()
        key = [stat.st_size, stat.st_mtime_ns]
        entry = self._known.get(str(path))
        if entry is None or entry[:2] != key:
            entry = [*key, sha256_file(path)]
            self._known[str(path)] = entry
            self._changed = True
        return str(entry[2])

    def save(self) -> None:
        """Write the memo, atomically, where it learnt something."""
        if not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}-{threading.get_ident()}")
        temporary.write_text(json.dumps(self._known), encoding="utf-8")
        temporary.replace(self._path)

    def sha256_all(self, paths: Sequence[Path]) -> str:
        """One hash over the names and contents of several files; where they lie does not count."""
        root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
        entries = sorted([path.relative_to(root).as_posix(), self.sha256(path)] for path in paths)
        return hashlib.sha256(canonical_json(entries).encode()).hexdigest()[:20]
