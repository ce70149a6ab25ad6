"""Where a study's sources lie and what they hold: content hashes, memoised by size and time."""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.artifacts import canonical_json, sha256_file
from core.data.sources import source_files
from core.errors import BadInput
from core.hub import is_hub_name, snapshots
from core.lm.packages import PACKAGE_PREFIX, package_files
from core.lm.shape import missing_files, weight_files
from core.lm.templates import CLOCK, asks_for_time
from core.study import Study
from core.study.data import TableSource
from core.units import Sources

# What decides as much as the weights do: shape, tokenizer, processor, chat template.
_MODEL_SETTINGS = (
    "*.json",
    "*.jinja",
    "additional_chat_templates/*.jinja",
    "*.model",
    "merges.txt",
    "vocab.txt",
    "dict.txt",
    "bpe.codes",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
)
# Said about the model, and read by nothing that computes.
_MODEL_TELLS = ("card.json",)


@dataclass(frozen=True)
class Located:
    """The places behind a study's names; `model` is null while it lies in a package, still to be converted, or where a
    `factory` makes it."""

    data_base: Path
    model: Path | None
    package: str | None
    factory: str | None = None


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


def locate(study: Study, bases: Sequence[Path]) -> Located:
    """Find a study's table and model; a relative path is tried below each of `bases` in turn.

    Raises:
        BadInput: the table or the model is nowhere.
    """
    data_path = getattr(study.data, "path", None)
    data_base = find_first(data_path, bases, "data.path").parent if data_path else bases[0]
    name = study.model.path
    if name is None:
        return Located(data_base, None, None, study.model.factory)
    if name.startswith(PACKAGE_PREFIX):
        return Located(data_base, None, name.removeprefix(PACKAGE_PREFIX))
    return Located(data_base, _model_folder(name, bases), None)


def pin(study: Study, bases: Sequence[Path]) -> Study:
    """The study with absolute places instead of relative ones, so that it means the same wherever it is read.

    Raises:
        BadInput: the table or the model is nowhere.
    """
    located = locate(study, bases)
    data = study.data
    if isinstance(data, TableSource):
        data = data.model_copy(update={"path": str(located.data_base / Path(data.path).name)})
    model = study.model.model_copy(update={"path": str(located.model)}) if located.model else study.model
    return study.model_copy(update={"data": data, "model": model})


def find_first(name: str, bases: Sequence[Path], field: str) -> Path:
    """What `name` means: below the first of `bases` that has it.

    Raises:
        BadInput: none has; the message names `field`.
    """
    for base in bases:
        path = base / Path(name).expanduser()
        if _exists(path):
            # The last link stays: a table is found by its own name, its pictures beside it.
            return path.parent.resolve() / path.name
    places = ", ".join(dict.fromkeys(str(base) for base in bases))
    raise BadInput(
        f"{field}: {name!r} does not exist (looked below {places}); give the path from the study file's folder"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or in a folder that may not be entered
        return False


def _model_folder(name: str, bases: Sequence[Path]) -> Path:
    try:
        return find_first(name, bases, "model.path")
    except BadInput as error:
        if not is_hub_name(name):
            raise
        cached = snapshots(name)
        if not cached:
            repository = name.partition("@")[0]
            raise BadInput(
                f"{error}; as a hub name it is not in the local cache either: `hf download {repository}` fetches it"
            ) from error
        return _whole_snapshot(name, cached)


def _whole_snapshot(name: str, cached: Sequence[Path]) -> Path:
    """The first snapshot that holds all that a model needs, whatever else of its repository was not fetched."""
    lacking = [missing_files(snapshot) for snapshot in cached]
    for snapshot, missing in zip(cached, lacking, strict=True):
        if not missing:
            return snapshot
    repository, _, revision = name.partition("@")
    fetch = f"hf download {repository}" + (f" --revision {revision}" if revision else "")
    told = ", ".join(lacking[0][:3]) + (f" and {len(lacking[0]) - 3} more" if len(lacking[0]) > 3 else "")
    raise BadInput(f"model.path: {name}: its snapshot {cached[0]} lacks {told}; `{fetch}` completes it")


def hash_sources(study: Study, located: Located, memo: HashMemo) -> Sources:
    """Hash everything outside the study file that decides its result.

    Raises:
        BadInput: a file is missing, or the model's folder holds no weights.
    """
    data = memo.sha256_all(source_files(study.data, located.data_base))
    if located.package is not None:
        return Sources(data, memo.sha256_all(package_files(located.package)), located.package)
    if located.factory is not None:
        from core.lm.factory import factory_content, open_factory  # torch, and whatever the factory needs

        return Sources(data, factory_content(located.factory, open_factory(located.factory)))
    assert located.model is not None
    return Sources(data, _model_content(located.model, memo))


def _model_content(folder: Path, memo: HashMemo) -> str:
    """A hash of the model's files, and of the time that its chat template is told, where it asks for it."""
    content = memo.sha256_all(_model_files(folder))
    if not asks_for_time(folder):
        return content
    return hashlib.sha256(f"{content} {CLOCK.isoformat()}".encode()).hexdigest()[:20]


def _model_files(folder: Path) -> list[Path]:
    """The weights and everything else in a checkpoint's folder that its outputs depend on."""
    settings = [path for pattern in _MODEL_SETTINGS for path in folder.glob(pattern) if path.name not in _MODEL_TELLS]
    return sorted({*weight_files(folder), *settings})
