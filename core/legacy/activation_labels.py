"""What older scripts wrote beside activations: the layer, the samples' ids and the mask of padding, in many shapes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput, first_line

_LAYER = re.compile(r"(?:^|[^a-z0-9])(?:layers?|blocks?)[_.\- ]?(\d+)(?![0-9])")
_SEVERAL = re.compile(r"(?:layers|blocks)[_.\- ]?(\d+)[_\-](\d+)(?![0-9a-z])")
_LANGUAGES = {"english": "en", "en": "en", "eng": "en", "arabic": "ar", "ar": "ar", "ara": "ar"}
_SHORT = re.compile(r"(?:^|[^a-z0-9])(?:l|h)[_.\- ]?(\d+)(?![0-9])")
_LAYER_KEYS = ("layer", "layer_idx", "layer_index", "layer_id", "layer_num")


def layer_of_name(path: Path, name: str) -> int | None:
    """The number after `layer` or `block`, else after `l` or `h`, which may be a norm's or a machine's.

    Raises:
        BadInput: two different ones are there.
    """
    for pattern in (_LAYER, _SHORT):
        found = set(map(int, pattern.findall(name.lower())))
        if pattern is _LAYER and (several := _SEVERAL.search(name.lower())):
            found |= {int(several[1]), int(several[2])}
        if len(found) > 1:
            raise BadInput(f"{path}: {name!r} names layers {', '.join(map(str, sorted(found)))}; name the right one")
        if found:
            return found.pop()
    return None


def layer_of_content(path: Path, about: Mapping[Any, Any]) -> int | None:
    """The layer that the file's own content names; null where it names none.

    Raises:
        BadInput: it names several, or something that is no layer's number.
    """
    found = set()
    for key in _LAYER_KEYS:
        if about.get(key) is not None:
            value = _plain(about[key])
            text = value[0] if isinstance(value, list) and len(value) == 1 else value
            number = layer_of_name(path, text) if isinstance(text, str) and not text.isdecimal() else _whole(text)
            if number is None or number < 0:
                raise BadInput(f"{path}: {key} is {about[key]!r}, not the number of a layer; save one number")
            found.add(number)
    if len(found) > 1:
        raise BadInput(f"{path}: its content names layers {', '.join(map(str, sorted(found)))}; keep the right one")
    return found.pop() if found else None


def _whole(value: Any) -> int | None:
    """A whole number, of text too; null for anything else."""
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def _plain(value: Any) -> Any:
    """Tensors and arrays as numbers and lists of them."""
    if isinstance(value, Tensor):
        return value.detach().tolist() if value.layout is torch.strided and not value.is_meta else None
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def language_of(path: Path, about: Mapping[Any, Any]) -> str | None:
    """`en` or `ar`, as the file's content or its name says; null where neither does.

    Raises:
        BadInput: the content names another language or several, or its name says something else.
    """
    stated = next((about[key] for key in ("language", "lang") if about.get(key) is not None), None)
    words = re.split(r"[^a-z]+", path.stem.lower())
    named = {_LANGUAGES[word] for word in words if word in _LANGUAGES}
    if stated is None:
        return named.pop() if len(named) == 1 else None
    language = _LANGUAGES.get(_one_text(stated).lower())
    if language is None:
        raise BadInput(f"{path}: language is {str(stated)[:60]!r}; what can be read is english or arabic, one per file")
    if named and language not in named:
        raise BadInput(
            f"{path}: {named.pop()} by its name, {language} by its content; rename it, or correct its content"
        )
    return language


def _one_text(value: Any) -> str:
    """Text or bytes, or the one that a list repeats; empty where it is something else."""
    plain = _plain(value)
    items = {_plain(item) for item in plain} if isinstance(plain, list | tuple) else {plain}
    item = items.pop() if len(items) == 1 else ""
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def ids_of(path: Path, stored: Any) -> tuple[str, ...] | None:
    """Samples' ids as texts: of text, bytes or whole numbers, one or many.

    Raises:
        BadInput: something else is among them.
    """
    value = _plain(stored)
    if stored is None:
        return None
    items = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(_id(path, _plain(item)) for item in items)


def _id(path: Path, item: Any) -> str:
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: a sample's id is {item!r}, no UTF-8; save text") from error
    if isinstance(item, str):
        return item
    number = _whole(item)
    if number is None:
        raise BadInput(f"{path}: a sample's id is {str(item)[:60]}; save a list of texts or whole numbers")
    return str(number)


def mask_of(path: Path, stored: Any, layer: int) -> Tensor | None:
    """The mask of a layer's rows, true on real tokens; a mapping has one for each layer.

    Raises:
        BadInput: it holds anything but 0 and 1.
    """
    if isinstance(stored, Mapping):
        own = [value for key, value in stored.items() if _key(path, key) == layer]
        if len(own) != 1:
            raise BadInput(
                f"{path}: its masks name {', '.join(map(str, stored))}, and not layer {layer}; save one each"
            )
        stored = own[0]
    if stored is None:
        return None
    try:
        mask = stored if isinstance(stored, Tensor) else torch.as_tensor(np.asarray(_listed(stored)))
        right = mask.layout is torch.strided and not mask.is_meta and bool(((mask == 0) | (mask == 1)).all())
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path}: its mask cannot be read ({first_line(error)}); save 0 and 1") from error
    if not right:
        raise BadInput(f"{path}: its mask holds other values than 0 and 1 (true on tokens); save it as such")
    return mask.bool()


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else _plain(value)


def _key(path: Path, key: Any) -> int | None:
    return int(key) if str(key).isdecimal() else layer_of_name(path, str(key))


def layers_of_keys(path: Path, keys: list[Any], own: int | None) -> dict[Any, int]:
    """The layer that each key of rows names, where one does; `own` is the file's.

    Raises:
        BadInput: the file is of one layer, and its keys name others: they may be samples.
    """
    found = {key: layer for key in keys if (layer := _key(path, key)) is not None}
    if own is not None and found and set(found.values()) != {own}:
        names = ", ".join(map(str, list(found)[:3]))
        raise BadInput(
            f"{path}: layer {own} by its name or content, and its rows are called {names}; if these are samples, save "
            "one tensor and their sample_ids, else give the file a name without a layer"
        )
    return found
