"""One layer's rows over all shards: a memory-mapped matrix beside a table of tokens."""

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import BFloat16, Float
from torch import Tensor

from core.activations.outliers import norm_limit
from core.activations.rows import FILES
from core.activations.tokens import SUMMARY, captured_tokens, layer_tokens
from core.errors import BadInput
from core.lm.tensor_header import read_header
from core.study.sites import STREAM, Site

_PORTION = 256
"""Rows that are picked, converted and put in place while the processor's cache holds them: 1.3 MB at D 2560."""


@dataclass(frozen=True)
class _Piece:
    """A run of rows that lie in one file, and the number of its first one."""

    start: int
    matrix: BFloat16[Tensor, "T D"]


class Read(NamedTuple):
    """What of a layer the shards hold, how many numbers a row has, the dtype that they were computed in, and the first
    layer that holds NaN or Inf."""

    site: Site
    d_model: int
    compute_dtype: str = "float32"
    nonfinite_from: int | None = None

    def beside(self, path: Path) -> "Read":
        """The same with what a further shard's shard.json says."""
        summary = json.loads(path.read_text(encoding="utf-8"))
        layers = [int(layer) for layer in summary.get("nonfinite", {})]
        layers += [] if self.nonfinite_from is None else [self.nonfinite_from]
        dtype = summary.get("compute_dtype", self.compute_dtype)
        return Read(summary["site"], int(summary["d_model"]), dtype, min(layers, default=None))


class LayerTable:
    """The rows of one layer, in one order for every layer: shards as given, in each shared, English, Arabic.

    `tokens` has the columns of a shard's tokens.parquet, `shard`, `index` (0 … T-1, the row's number here), `origin`
    (its number before rows were dropped, by which layers line up) and `outlier`: outliers are special rows too.
    `norm_limit` is the norm, in the stream's units, beyond which a row is one.
    """

    def __init__(
        self, layer: int, tokens: pl.DataFrame, pieces: Sequence[_Piece], read: "Read", limit: float = math.inf
    ) -> None:
        self.layer = layer
        self.norm_limit = limit
        self.tokens = tokens
        self.site, self.d_model, self.compute_dtype, self.nonfinite_from = read
        self._pieces = pieces
        self._starts = [piece.start for piece in pieces]
        self._origin = tokens["origin"].to_numpy()

    @classmethod
    def open(cls, shards: Sequence[Path], layer: int, keep: Path | None = None) -> "LayerTable":
        """Open layer `layer` of the shards' folders; `keep` is the folder that `extract_layer` wrote for the layer.

        Without a `keep.parquet` there, all rows are kept; without outliers there, none is marked.

        Raises:
            BadInput: a shard is not finished or has not captured the layer, or its matrices do not fit its tokens.
        """
        captured = captured_tokens(shards)
        counts = {(shard, file): count for shard, file, count in captured.group_by("shard", "group").len().iter_rows()}
        pieces: list[_Piece] = []
        start = 0
        read = Read(STREAM, 0)
        for number, shard in enumerate(shards):
            read = read.beside(shard / SUMMARY)
            for file in FILES:
                if count := counts.get((number, file), 0):
                    pieces.append(_Piece(start, _map_matrix(shard, layer, file, (count, read.d_model))))
                    start += count
        return cls(layer, layer_tokens(captured, keep), pieces, read, norm_limit(keep))

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self, rows: np.ndarray, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n D"]:
        """The rows numbered `rows`, in their order; files are read in order, whatever order is asked."""
        origin = self._origin[rows].astype(np.int64)
        order = None if bool((origin[1:] >= origin[:-1]).all()) else np.argsort(origin, kind="stable")
        ordered = origin if order is None else origin[order]
        out = _memory(len(origin), self.d_model, dtype)
        bounds = np.searchsorted(ordered, [*self._starts, np.iinfo(np.int64).max])
        for piece, low, high in zip(self._pieces, bounds[:-1], bounds[1:], strict=True):
            for start in range(low, high, _PORTION):
                stop = min(start + _PORTION, high)
                rows_here = piece.matrix.index_select(0, torch.from_numpy(ordered[start:stop] - piece.start))
                if order is None:
                    out[start:stop].copy_(rows_here)
                else:
                    out.index_copy_(0, torch.from_numpy(order[start:stop]), rows_here.to(dtype))
        return out

    def block(self, start: int, stop: int) -> Float[Tensor, "n D"]:
        """The rows from `start` to `stop` (exclusive; cut at the table's end) in float32."""
        stop = min(stop, len(self))
        if start >= stop:
            return torch.empty(0, self.d_model)
        first, last = int(self._origin[start]), int(self._origin[stop - 1])
        if last - first != stop - 1 - start:
            return self.read(np.arange(start, stop))
        out = _memory(stop - start, self.d_model, torch.float32)
        number, filled = bisect_right(self._starts, first) - 1, 0
        while first <= last:
            piece = self._pieces[number]
            part = piece.matrix[first - piece.start : last + 1 - piece.start]
            out[filled : filled + len(part)].copy_(part)
            first, filled, number = first + len(part), filled + len(part), number + 1
        return out


def _memory(rows: int, width: int, dtype: torch.dtype) -> Float[Tensor, "n D"]:
    """Fresh memory by way of numpy, which asks the kernel for huge pages where torch does not: 40 MB of it are filled
    two to three times as fast."""
    return torch.from_numpy(np.empty((rows, width), dtype=f"i{dtype.itemsize}")).view(dtype)


def _map_matrix(shard: Path, layer: int, file: str, shape: tuple[int, int]) -> BFloat16[Tensor, "T D"]:
    """The `activation` of a safetensors file, mapped: the file stays on disk, and no file descriptor stays open.

    Raises:
        BadInput: the file is not there, or holds something else.
    """
    path = shard / f"layer_{layer}.{file}.safetensors"
    try:
        entries, start = read_header(path)
        found = entries["activation"]
    except FileNotFoundError as error:
        raise BadInput(f"{shard.name}: layer {layer} was not captured ({path.name} is missing)") from error
    except (ValueError, KeyError) as error:
        raise BadInput(f"{path}: is no activation file ({error})") from error
    if (
        len(entries) > 1
        or found.dtype != "BF16"
        or found.shape != shape
        or found.end != start + 2 * shape[0] * shape[1]
    ):
        raise BadInput(f"{path}: {found.dtype} {list(found.shape)} does not fit the shard's {shape[0]} tokens")
    content = torch.from_file(str(path), shared=False, size=found.end, dtype=torch.uint8)
    return content[start:].view(torch.bfloat16).view(shape)
