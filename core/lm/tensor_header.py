"""What a safetensors file begins with: the type, shape and place of each of its tensors; loads no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_LARGEST = 100_000_000


class TensorEntry(NamedTuple):
    """A tensor's type as safetensors names it (`BF16`), its shape, and the byte of the file behind its last."""

    dtype: str
    shape: tuple[int, ...]
    end: int


def read_header(path: Path) -> tuple[dict[str, TensorEntry], int]:
    """Each tensor's entry by name, and the byte of the file at which the first tensor begins.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no safetensors file, or shorter or longer than its header says.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= _LARGEST else b""  # a damaged length could be any number
    start = 8 + length
    try:
        content: Mapping[str, Any] = json.loads(text)
        entries = {name: _entry(entry, start) for name, entry in content.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError("its header is damaged") from error
    end = max((entry.end for entry in entries.values()), default=start)
    if end != path.stat().st_size:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, and its header says {end:,}")
    return entries, start


def _entry(entry: Mapping[str, Any], start: int) -> TensorEntry:
    shape = tuple(int(size) for size in entry["shape"])
    return TensorEntry(str(entry["dtype"]), shape, start + int(entry["data_offsets"][1]))
