"""A shard's matrices, written by a thread while the model runs on: memory holds a few passes' rows, never the shard."""

import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import torch
from jaxtyping import BFloat16, Bool
from torch import Tensor

from core.activations.fetching import Fetch, fetcher

_BYTES = 2  # of a bfloat16
_QUEUED = 3
"""Writes of a GPU's rows that may be under way: one batch in two languages, so that it can run the next meanwhile."""


@dataclass(frozen=True)
class Picked:
    """The rows numbered `places` (ascending) of one file, for each layer."""

    file: str
    places: np.ndarray
    layers: Mapping[int, BFloat16[Tensor, "n D"]]


class ShardWriter:
    """`layer_{ℓ}.{file}.safetensors` (`activation`, [T, D] bfloat16) for every layer and file that has rows.

    Files have their full length from the start; rows may come in any order, and again. `nonfinite` marks those that
    hold NaN or Inf, once `settle` was called. A failed write is raised by a call that follows it, at the latest when
    the `with` block ends.
    """

    def __init__(self, out: Path, counts: Mapping[str, int], layers: Sequence[int], width: int) -> None:
        self.nonfinite: dict[tuple[int, str], Bool[np.ndarray, " T"]] = {
            (layer, file): np.zeros(count, dtype=bool) for layer in layers for file, count in counts.items() if count
        }
        self._out = out
        self._row = _BYTES * width
        self._width = width
        self._files: dict[tuple[int, str], tuple[BinaryIO, int]] = {}
        self._pending: deque[Future[None]] = deque()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            for (layer, file), rows in self.nonfinite.items():
                handle = stack.enter_context((self._out / f"layer_{layer}.{file}.safetensors").open("wb", buffering=0))
                header = _header(len(rows), self._width)
                handle.write(header)
                if handle.seekable():
                    handle.truncate(len(header) + len(rows) * self._row)
                self._files[layer, file] = handle, len(header)
            self._thread = stack.enter_context(ThreadPoolExecutor(1, "shard-writer"))
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._open:
            if kind is None:
                self.settle()

    def put(self, picked: Picked) -> None:
        """Have the rows written, once those before them are.

        Raises:
            OSError: some before could not be written.
        """
        device = next(iter(picked.layers.values())).device
        self._settle(0 if device.type == "cpu" else _QUEUED - 1)
        self._pending.append(self._thread.submit(self._write, picked, fetcher(device)))

    def settle(self) -> None:
        """Wait until all that was put is written."""
        self._settle(0)

    def _settle(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().result()

    def _write(self, picked: Picked, fetch: Fetch) -> None:
        starts = np.flatnonzero(np.diff(picked.places, prepend=-2) != 1)
        runs = list(zip(starts, [*starts[1:], len(picked.places)], strict=True))
        for layer, rows in picked.layers.items():
            content, finite = fetch(rows)
            self.nonfinite[layer, picked.file][picked.places] = ~finite.numpy()
            numbers = content.view(torch.uint8).numpy()
            handle, before = self._files[layer, picked.file]
            for first, end in runs:
                _write_at(handle, numbers[first:end], before + int(picked.places[first]) * self._row)


def _write_at(handle: BinaryIO, content: np.ndarray, offset: int) -> None:
    left = content.data.cast("B")
    while left:  # a disk that runs full takes a part first
        written = os.pwrite(handle.fileno(), left, offset)
        left, offset = left[written:], offset + written


def _header(rows: int, width: int) -> bytes:
    """What a safetensors file with one matrix begins with, as its own writer pads it."""
    entry = {"dtype": "BF16", "shape": [rows, width], "data_offsets": [0, rows * width * _BYTES]}
    text = json.dumps({"activation": entry}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
