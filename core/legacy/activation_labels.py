"""What older scripts wrote beside activations: the layer, the samples' ids and the mask of padding, in many shapes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadInput

_LAYER = re.compile(r"(?:^|[^a-z0-9])(?:layers?|blocks?)[_.\- ]?(\d+)(?![0-9])")
_SEVERAL = re.compile(r"(?:layers|blocks)[_.\- ]?(\d+)[_\-](\d+)(?![0-9a-z])")
_SHORT = re.compile(r"(?:^|[^a-z0-9])(?:l|h)[_.\- ]?(\d+)(?![0-9])")
_TOLD = ("layer", "layer_idx", "layer_index", "layer_id", "layer_num")


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


def layer_told(path: Path, about: Mapping[Any, Any]) -> int | None:
    """The layer that the file's own content names.

    Raises:
        BadInput: it names no layer.
    """
    found = set()
    for key in _TOLD:
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


def ids_of(path: Path, told: Any) -> tuple[str, ...] | None:
    """Samples' ids as texts: of text, bytes or whole numbers, one or many.

    Raises:
        BadInput: something else is among them.
    """
    value = _plain(told)
    if told is None:
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


def mask_of(path: Path, told: Any, layer: int) -> Tensor | None:
    """The mask of a layer's rows, true on real tokens; a mapping has one for each layer.

    Raises:
        BadInput: it holds anything but 0 and 1.
    """
    if isinstance(told, Mapping):
        own = [value for key, value in told.items() if (_key(path, key)) == layer]
        if len(own) != 1:
            raise BadInput(f"{path}: its masks name {', '.join(map(str, told))}, and not layer {layer}; save one each")
        told = own[0]
    if told is None:
        return None
    try:
        mask = told if isinstance(told, Tensor) else torch.as_tensor(np.asarray(_listed(told)))
        right = mask.layout is torch.strided and not mask.is_meta and bool(((mask == 0) | (mask == 1)).all())
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{path}: its mask cannot be read ({str(error).splitlines()[0]}); save 0 and 1") from error
    if not right:
        raise BadInput(f"{path}: its mask holds other values than 0 and 1 (true on tokens); save it as such")
    return mask.bool()


def _listed(told: Any) -> Any:
    return [_listed(item) for item in told] if isinstance(told, list | tuple) else _plain(told)


def _key(path: Path, key: Any) -> int | None:
    return int(key) if str(key).isdecimal() else layer_of_name(path, str(key))


def layers_of_keys(path: Path, keys: list[Any], told: int | None) -> dict[Any, int]:
    """The layer that each key of rows names, where one does; `told` is the file's.

    Raises:
        BadInput: the file is of one layer, and its keys name others: they may be samples.
    """
    found = {key: layer for key in keys if (layer := _key(path, key)) is not None}
    if told is not None and found and set(found.values()) != {told}:
        names = ", ".join(map(str, list(found)[:3]))
        raise BadInput(
            f"{path}: layer {told} by its name or content, and its rows are called {names}; if these are samples, save "
            "one tensor and their sample_ids, else give the file a name without a layer"
        )
    return found
