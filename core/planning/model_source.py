"""Where a study's model lies, what it holds, and what its shape is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import BadInput
from core.lm.hub import is_hub_name, snapshots
from core.lm.packages import PACKAGE_PREFIX, package_files
from core.lm.shape import ModelShape, missing_files, read_shape, weight_files
from core.lm.templates import CLOCK, asks_for_time
from core.planning.located import Reader, Sources
from core.planning.places import ANYWHERE, find_first
from core.planning.study import Study
from core.store.hashes import HashMemo

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
class FoundModel:
    """A model outside: a hash of what it is, and its folder and shape, null while its package is to be converted."""

    content: str
    package: str | None
    folder: Path | None
    shape: ModelShape | None


def pin_model(study: Study, bases: Sequence[Path]) -> Study:
    """The study with the absolute place of its model; packages and factories have none.

    Raises:
        BadInput: the model is nowhere.
    """
    name = study.model.path
    if name is None:
        return study
    return study.model_copy(update={"model": study.model.model_copy(update={"path": pinned_model(name, bases)})})


def pinned_model(name: str, bases: Sequence[Path]) -> str:
    """The absolute place of a model; a package's is its name.

    Raises:
        BadInput: the model is nowhere.
    """
    return name if name.startswith(PACKAGE_PREFIX) else str(_model_folder(name, bases))


def read_model(study: Study, found: Sources, reader: Reader) -> Sources:
    """Add the model's content, its folder and its shape, as far as they can be known.

    Raises:
        BadInput: a file is missing, or the folder holds no weights.
    """
    name = study.model.path
    if name is None:
        return _read_factory(study, found)
    model = find_model(name, reader)
    return replace(found, model=model.content, package=model.package, folder=model.folder, model_shape=model.shape)


def find_model(name: str, reader: Reader) -> FoundModel:
    """The model at a pinned place.

    Raises:
        BadInput: a file is missing, or the folder holds no weights.
    """
    if not name.startswith(PACKAGE_PREFIX):
        folder = _model_folder(name, ANYWHERE)
        return FoundModel(_model_content(folder, reader.memo), None, folder, read_shape(folder))
    package = name.removeprefix(PACKAGE_PREFIX)
    content = reader.memo.sha256_all(package_files(package))
    converted = reader.converted(package, content)
    return FoundModel(content, package, converted, read_shape(converted) if converted is not None else None)


def _read_factory(study: Study, found: Sources) -> Sources:
    from core.lm.factory import factory_content, factory_shape, open_factory  # torch, and whatever the factory needs

    factory = study.model.factory
    assert factory is not None  # a study has a path or a factory
    content = factory_content(factory, open_factory(factory))
    shape = factory_shape(factory, study.capture.site)
    return replace(found, model=content, factory=factory, model_shape=shape)


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
