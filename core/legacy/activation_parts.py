"""Activations of older scripts as their files hold them: which layer, language and samples each tensor belongs to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput
from core.legacy.pickles import SUFFIXES, load_pickle

ENDINGS = (*SUFFIXES, ".npz", ".npy")
_ROWS = ("activations", "activation", "hidden_states", "features", "acts")
_IDS = ("sample_ids", "sample_id", "image_ids", "image_id", "ids", "image")
_MASKS = ("attention_mask", "mask", "attention_masks", "masks")
_LAYER = re.compile(r"(?:^|[^a-z0-9])(?:layers?|blocks?|l|h)[_.\- ]?(\d+)(?![0-9])")
_LANGUAGES = {"english": "en", "en": "en", "eng": "en", "arabic": "ar", "ar": "ar", "ara": "ar"}


@dataclass(frozen=True)
class Part:
    """Rows of one layer: [N, D], one per sample, or [N, T, D]; `mask` [N, T] is true on real tokens."""

    path: Path
    layer: int
    rows: Tensor
    language: str | None
    ids: tuple[str, ...] | None
    mask: Tensor | None

    @property
    def samples(self) -> int:
        """N."""
        return len(self.rows)

    @property
    def tokens(self) -> int:
        """T; 1 where a sample has one row."""
        return self.rows.shape[1] if self.rows.ndim == 3 else 1


def files_of(sources: Sequence[Path]) -> list[Path]:
    """The files named, and those in the folders named, in the order of the numbers in their names.

    Raises:
        BadInput: one is not there, or a folder holds none that can be read.
    """
    found: list[Path] = []
    for source in sources:
        inside = [path for path in source.iterdir() if path.suffix in ENDINGS] if source.is_dir() else [source]
        if not source.exists() or not inside:
            raise BadInput(
                f"{source}: {'holds no' if source.exists() else 'does not exist; name'} {', '.join(ENDINGS)}"
            )
        found += inside
    return sorted(set(found), key=_natural)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.as_posix())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def read_parts(path: Path) -> list[Part]:
    """Every layer's rows in a file.

    Raises:
        BadInput: it cannot be read, holds no activations, or does not tell the layer.
    """
    content = _content(path)
    about = {**_mapping(content.get("metadata")), **content}
    rows = next((content[name] for name in _ROWS if name in content), None)
    by_layer = _by_layer(path, content if rows is None else rows, about)
    if not by_layer:
        raise BadInput(f"{path}: holds no activations: none of {', '.join(_ROWS)}, and no key that names a layer")
    ids, language = _ids(about), _language(path, about)
    mask = next((_tensor(about[name]) for name in _MASKS if name in about), None)
    return [_checked(Part(path, layer, tensor, language, ids, mask)) for layer, tensor in by_layer.items()]


def _content(path: Path) -> Mapping[Any, Any]:
    if path.suffix == ".npy":
        return {"activations": _arrays(path)}
    if path.suffix == ".npz":
        return _mapping(_arrays(path))
    content = load_pickle(path)
    return content if isinstance(content, Mapping) else {"activations": content}


def _arrays(path: Path) -> Any:
    """The arrays, pickled ones left out: they are never read."""
    try:
        opened = np.load(path, mmap_mode="c", allow_pickle=False)
        if isinstance(opened, np.ndarray):
            return opened
        with opened:
            return dict(_plain(opened))
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read ({(str(error) or 'empty').splitlines()[0]})") from error


def _plain(archive: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in archive.files:
        try:
            yield name, archive[name]
        except ValueError as error:
            if "pickle" not in str(error).lower():
                raise


def _by_layer(path: Path, rows: Any, about: Mapping[Any, Any]) -> dict[int, Tensor]:
    if isinstance(rows, Mapping):
        named = [(_layer_of_key(key), key) for key, value in rows.items() if _is_rows(value)]
        found: dict[int, Tensor] = {}
        for layer, key in named:
            if layer in found:
                raise BadInput(f"{path}: {key!r} is not the only matrix of layer {layer}; these are no activations")
            if layer is not None:
                found[layer] = _tensor(rows[key])
        return found
    if not _is_rows(rows):
        return {}
    told = about.get("layer")
    layer = int(told) if told is not None and str(told).isdigit() else _layer_of_name(path.stem)
    if layer is None:
        raise BadInput(f"{path}: neither the file nor its name tells the layer; call it layer_N{path.suffix}")
    return {layer: _tensor(rows)}


def _is_rows(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3) and value.dtype.kind == "f"
    return isinstance(value, Tensor) and value.ndim in (2, 3) and value.is_floating_point()


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.from_numpy(value)


def _layer_of_key(key: Any) -> int | None:
    return int(key) if str(key).isdigit() else _layer_of_name(str(key))


def _layer_of_name(name: str) -> int | None:
    found = _LAYER.findall(name.lower())
    return int(found[-1]) if found else None


def _ids(about: Mapping[Any, Any]) -> tuple[str, ...] | None:
    told = next((about[name] for name in _IDS if name in about), None)
    if told is None:
        return None
    if isinstance(told, Tensor):
        told = told.numpy()
    return tuple(map(str, np.atleast_1d(told).tolist())) if isinstance(told, np.ndarray) else _texts(told)


def _texts(told: Any) -> tuple[str, ...] | None:
    if isinstance(told, str):
        return (told,)
    return tuple(map(str, told)) if isinstance(told, list | tuple) else None


def _language(path: Path, about: Mapping[Any, Any]) -> str | None:
    told = next((str(about[name]).lower() for name in ("language", "lang") if name in about), None)
    if told in _LANGUAGES:
        return _LANGUAGES[told]
    named = {_LANGUAGES[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _LANGUAGES}
    return named.pop() if len(named) == 1 else None


def _checked(part: Part) -> Part:
    """One sample's tokens [T, D] become [1, T, D]; ids and mask must be as many as the rows."""
    if part.rows.ndim == 2 and part.ids is not None and len(part.ids) == 1 != len(part.rows):
        part = replace(part, rows=part.rows[None])
    if part.ids is not None and len(part.ids) != part.samples:
        raise BadInput(f"{part.path}: layer {part.layer} has rows of {part.samples} samples, and {len(part.ids)} ids")
    if part.rows.ndim == 2:
        return replace(part, mask=None)
    if part.mask is not None and tuple(part.mask.shape) != (part.samples, part.tokens):
        shape = [part.samples, part.tokens]
        raise BadInput(f"{part.path}: its mask is {list(part.mask.shape)}, and the rows of layer {part.layer} {shape}")
    return part


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
