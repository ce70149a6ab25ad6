"""Which layers a study reads: `all`, a list, or ranges such as `"0-10,20-33"`."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

_RANGE = re.compile(r"^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$")


def parse_layers(value: Any) -> Any:
    """Turn `17`, `"0-10,20-33"` or a list into a sorted list of distinct layers; `all` stays as it is.

    Raises:
        ValueError: a part is neither a number nor a range, or a range runs backwards.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        return value if value.strip() == "all" else _parse_ranges(value)
    if isinstance(value, list | tuple) and value and all(isinstance(item, int) for item in value):
        if min(value) < 0:
            raise ValueError(f"layer {min(value)} is negative; layers are counted from 0")
        return tuple(sorted(set(value)))
    return value


def _parse_ranges(text: str) -> tuple[int, ...]:
    layers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.match(part)
        if match is None:
            raise ValueError(f'{part.strip()!r} is no layer range; write all, a list, or ranges like "0-10,20-33"')
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ValueError(f"the range {part.strip()!r} runs backwards; write {last}-{first}")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


Layers = Annotated[Literal["all"] | tuple[int, ...], BeforeValidator(parse_layers)]


def resolve_layers(
    layers: Literal["all"] | tuple[int, ...], num_layers: int, field: str, part: str = "the model"
) -> tuple[int, ...]:
    """Name every layer of a model (or of another `part` of it) with `num_layers` layers.

    Raises:
        ValueError: a layer lies beyond it; the message names `field`, the layer, the part and the legal range.
    """
    if layers == "all":
        return tuple(range(num_layers))
    beyond = [layer for layer in layers if layer >= num_layers]
    if beyond:
        there = f"layers 0-{num_layers - 1}" if num_layers > 1 else "layer 0 alone"
        raise ValueError(f"{field}: layer {beyond[0]} is out of range; {part} has {there}")
    return layers
