"""The batches of an epoch, from rows in memory or from rows in their files."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.activations.table import LayerTable

_CPU = torch.device("cpu")
_READ_ROWS = 8192
_BLOCK = 256
"""Neighbouring rows that are read together: 1.3 MB of 2560 numbers, at which a disk reads at its full speed."""
_WINDOW = 16_384
"""Rows from 64 blocks that are read and shuffled together: two windows are in memory, 84 MB each at D 2560."""


@dataclass(frozen=True)
class StoredRows:
    """Rows that stay in their files until they are read, in bfloat16, onto `device`."""

    table: LayerTable
    numbers: Int[np.ndarray, " T"]
    device: torch.device = _CPU

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and their width."""
        return len(self.numbers), self.table.d_model

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, part: slice) -> Float[Tensor, "n D"]:
        numbers = self.numbers[part]
        kept = torch.empty(len(numbers), self.table.d_model, dtype=torch.bfloat16, device=self.device)
        for start in range(0, len(numbers), _READ_ROWS):
            kept[start : start + _READ_ROWS] = self.table.read(numbers[start : start + _READ_ROWS], torch.bfloat16)
        return kept

    def index_select(self, dim: int, chosen: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """The rows `chosen`, in their order, as a tensor's method of this name does for dimension 0."""
        return replace(self, numbers=self.numbers[chosen.cpu().numpy()])[:]

    def to(self, device: torch.device | str) -> "StoredRows":
        """The same rows, read onto another device."""
        return replace(self, device=torch.device(device))


class Pairs(NamedTuple):
    """Rows, and what a transcoder should give for them (None: the rows themselves)."""

    x: Float[Tensor, "T D"] | StoredRows
    y: Float[Tensor, "T O"] | StoredRows | None

    def take(self, chosen: Int[Tensor, " n"]) -> "Drawn":
        """The rows `chosen`, in their order."""
        y = None if self.y is None else self.y.index_select(0, chosen)
        return Drawn(self.x.index_select(0, chosen), y)


class Drawn(NamedTuple):
    """Rows of a batch, and their targets, in raw units."""

    x: Float[Tensor, "B D"]
    y: Float[Tensor, "B O"] | None

    def split(self, size: int) -> "list[Drawn]":
        """Consecutive parts of `size` rows."""
        xs = torch.split(self.x, size)
        ys = [None] * len(xs) if self.y is None else torch.split(self.y, size)
        return [Drawn(x, y) for x, y in zip(xs, ys, strict=True)]


def batches(pairs: Pairs, size: int, seed: int, epoch: int, first: int = 0) -> Iterator[Drawn]:
    """An epoch's full batches in its order, from number `first` on; what the order is follows from seed and epoch.

    Rows in memory are shuffled all together. Rows in files are shuffled in two steps, blocks of neighbouring rows and
    then the rows of some blocks, which are read by a thread of their own while the steps before use theirs.
    """
    count = len(pairs.x) // size * size
    if isinstance(pairs.x, Tensor):
        order = epoch_order(len(pairs.x), seed, epoch).to(pairs.x.device)
        for chosen in torch.split(order[first * size : count], size):
            yield pairs.take(chosen)
        return
    window = max(1, _WINDOW // size)
    order = block_order(len(pairs.x), window * size, seed, epoch)
    windows = torch.split(order[:count], window * size)[first // window :]
    done = first % window
    with ThreadPoolExecutor(1, "rows") as reader:
        coming = reader.submit(pairs.take, windows[0]) if windows else None
        for following in [*windows[1:], None]:
            assert coming is not None
            here = coming.result()
            coming = None if following is None else reader.submit(pairs.take, following)
            yield from here.split(size)[done:]
            done = 0


def some_of(x: Float[Tensor, "T D"] | StoredRows, most: int) -> Int[Tensor, " t"]:
    """Numbers of at most `most` rows, ascending, drawn the same every time: every so manieth could be of one kind
    alone, where kinds alternate."""
    order = torch.randperm(len(x), generator=generator_for(0, "some rows"))
    return order[:most].sort().values.to(x.device)


def epoch_order(rows: int, seed: int, epoch: int) -> Int[Tensor, " T"]:
    """The order in which an epoch visits the rows: a function of seed and epoch, so that a resumed run needs no RNG."""
    return torch.randperm(rows, generator=generator_for(seed, f"epoch {epoch}"))


def block_order(rows: int, window: int, seed: int, epoch: int) -> Int[Tensor, " T"]:
    """The same, blocks of neighbouring rows staying within one window of `window` rows, or two."""
    generator = generator_for(seed, f"epoch {epoch}")
    blocks = torch.randperm(-(-rows // _BLOCK), generator=generator)
    order = (blocks.unsqueeze(1) * _BLOCK + torch.arange(_BLOCK)).view(-1)
    parts = torch.split(order[order < rows], window)
    return torch.cat([part[torch.randperm(len(part), generator=generator)] for part in parts])


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Random numbers for one purpose, a function of the seed and its name."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
