"""Activations of older scripts as their files hold them: which layer, language and samples each tensor belongs to."""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput, first_line
from core.legacy.activation_labels import ids_of, language_of, layer_of_content, layer_of_name, layers_of_keys, mask_of
from core.legacy.pickles import load_pickle
from core.sae.configs import PICKLES

ENDINGS = (*PICKLES, ".npz", ".npy")
_ROWS = ("activations", "activation", "hidden_states", "features", "acts")
_IDS = ("sample_ids", "sample_id", "image_ids", "image_id", "ids", "image")
_MASKS = ("attention_mask", "mask", "attention_masks", "masks")
_ONE = re.compile(r"(?:^|[^a-z0-9])(?:layer|block)[_.\- ]?(\d+)(?![0-9])")
_FAULTS = (OSError, ValueError, EOFError, LookupError, TypeError, NotImplementedError, BadZipFile, zlib.error)


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
        BadInput: it cannot be read, holds no activations, or names no layer.
    """
    content = _content(path)
    about = {**_mapping(content.get("metadata")), **content}
    rows = _first(content, _ROWS)
    by_layer = _by_layer(path, content if rows is None else rows, about)
    if not by_layer:
        raise BadInput(f"{path}: holds no activations: none of {', '.join(_ROWS)}, and no key that names a layer")
    ids, language = ids_of(path, _first(about, _IDS)), language_of(path, about)
    masks = {layer: mask_of(path, _first(about, _MASKS), layer) for layer in by_layer}
    return [_checked(Part(path, layer, rows, language, ids, masks[layer])) for layer, rows in by_layer.items()]


def _first(content: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    return next((content[name] for name in names if name in content), None)


def _content(path: Path) -> Mapping[Any, Any]:
    if path.suffix == ".npy":
        return {"activations": _arrays(path)}
    if path.suffix == ".npz":
        arrays = _arrays(path)
        return arrays if isinstance(arrays, Mapping) else {"activations": arrays}
    content = load_pickle(path)
    return content if isinstance(content, Mapping) else {"activations": content}


def _arrays(path: Path) -> Any:
    """The arrays, pickled ones left out: they are never read."""
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="c", allow_pickle=False)
        with path.open("rb") as file:
            opened = np.load(file, allow_pickle=False)
            return opened if isinstance(opened, np.ndarray) else dict(_unpickled(opened))
    except _FAULTS as error:
        raise BadInput(f"{path}: cannot be read ({first_line(error)})") from error


def _unpickled(archive: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in archive.files:
        try:
            yield name, archive[name]
        except ValueError as error:
            if "pickle" not in str(error).lower():
                raise


def _by_layer(path: Path, rows: Any, about: Mapping[Any, Any]) -> dict[int, Tensor]:
    if isinstance(rows, Mapping):
        keys = [key for key, value in rows.items() if _is_rows(value)]
        found: dict[int, Tensor] = {}
        for key, number in layers_of_keys(path, keys, _one_layer(path, about)).items():
            if number in found:
                raise BadInput(f"{path}: {key!r} is not the only matrix of layer {number}; these are no activations")
            found[number] = _tensor(path, rows[key])
        return found
    if not _is_rows(rows):
        return {}
    inside, named = layer_of_content(path, about), layer_of_name(path, path.stem)
    if None not in (inside, named) and inside != named:
        raise BadInput(f"{path}: layer {named} by its name, {inside} by its content; rename it, or correct its content")
    at = named if inside is None else inside
    if at is None:
        raise BadInput(f"{path}: neither the file nor its name says which layer; call it layer_N{path.suffix}")
    return {at: _tensor(path, rows)}


def _one_layer(path: Path, about: Mapping[Any, Any]) -> int | None:
    """The layer of a file that plainly is of one; a list of several is no such thing."""
    if one := _ONE.search(path.stem.lower()):
        return int(one[1])
    return layer_of_content(path, {key: value for key, value in about.items() if not _several(value)})


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray | Tensor) and getattr(value, "ndim", 1) > 0 and len(value) > 1


def _is_rows(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3) and value.dtype.kind == "f"
    return isinstance(value, Tensor) and value.ndim in (2, 3) and value.is_floating_point()


def _tensor(path: Path, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.layout is not torch.strided or value.is_meta:
            raise BadInput(f"{path}: its rows are sparse or have no numbers (device meta); save them dense")
        return value.detach()
    if value.dtype.itemsize > 8:
        raise BadInput(f"{path}: its rows are {value.dtype}; save them as float32")
    return torch.from_numpy(value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("=")))


def _checked(part: Part) -> Part:
    """One sample's tokens [T, D] become [1, T, D]; ids and mask must be as many as the rows."""
    if not part.rows.numel():
        raise BadInput(f"{part.path}: layer {part.layer} has rows {list(part.rows.shape)}: none; leave the file out")
    if part.rows.ndim == 2 and part.ids is not None and len(part.ids) == 1 != len(part.rows):
        part = replace(part, rows=part.rows[None])
    if part.ids is not None and len(part.ids) != part.samples:
        raise BadInput(f"{part.path}: layer {part.layer} has rows of {part.samples} samples, and {len(part.ids)} ids")
    if part.rows.ndim == 2:
        return replace(part, mask=None)
    if part.mask is not None and tuple(part.mask.shape) != (part.samples, part.tokens):
        shape = [part.samples, part.tokens]
        raise BadInput(f"{part.path}: its mask is {list(part.mask.shape)}, and the rows of layer {part.layer} {shape}")
    if part.mask is not None and not part.mask.any():
        raise BadInput(f"{part.path}: its mask is 0 everywhere, so that no token is left; save 1 on real tokens")
    return part


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
