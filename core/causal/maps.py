"""Which cells of the image a feature depends on: each cell's soft tokens replaced in turn, the rest left alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.causal.pairs import request
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.patched import IMAGE, TokenBatch, build_batch, embed, run_embedded
from core.lm.prompts import EncodedSample, encode_sample

MOST_CELLS = 8
"""Most cells a side that are replaced one by one; finer grids are replaced in square blocks."""
_SEQUENCES = 64


@dataclass(frozen=True)
class CausalMap:
    """How much a feature's summed activation over the image falls when each of C blocks of cells is replaced."""

    layer: int
    feature: int
    image_id: str
    kind: str
    blocks: Float[np.ndarray, " C"]


@dataclass(frozen=True)
class Replacement:
    """An image, and where the soft tokens that replace its own come from: its twin, or the image's own mean."""

    sample: EncodedSample
    twin: Path | None

    @property
    def kind(self) -> str:
        """What the cells are replaced by."""
        return "occlusion" if self.twin is None else "twin-swap"


def replacements(inputs: AnalysisInputs, loaded: LoadedModel, rows: pl.DataFrame) -> list[Replacement]:
    """The images to check, each with its twin's image if that is another one."""
    known = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    found = []
    for row in rows.iter_rows(named=True):
        sample = encode_sample(loaded, request(inputs, row, inputs.languages[0], ""))
        twin = known.get(row["twin_id"]) if row.get("twin_id") else None
        found.append(Replacement(sample, _other_picture(inputs, sample, twin)))
    return found


def _other_picture(inputs: AnalysisInputs, sample: EncodedSample, twin: Mapping[str, Any] | None) -> Path | None:
    if twin is None or inputs.images is None or not twin.get("image") or sample.image is None:
        return None
    other = inputs.images / twin["image"]
    # A neutral person's twin differs in words alone.
    return None if other.read_bytes() == sample.image.read_bytes() else other


def causal_maps(
    loaded: LoadedModel, chosen: Sequence[Replacement], layers: Mapping[int, tuple[LayerView, Sequence[int]]]
) -> list[CausalMap]:
    """The causal maps of some features at some layers, all layers from one pass an image."""
    found: list[CausalMap] = []
    for replacement in chosen:
        batch, entering, blocks = _variants(loaded, replacement)
        totals = _totals(loaded, batch, entering, layers)
        for (layer, feature), total in totals.items():
            fall = total[0] - total[1:]
            found.append(CausalMap(layer, feature, replacement.sample.image_id, replacement.kind, fall[:blocks]))
    return found


def _variants(loaded: LoadedModel, replacement: Replacement) -> tuple[TokenBatch, Float[Tensor, "B T D"], int]:
    """The sequence as it is, then once for every block of cells replaced."""
    single = build_batch(loaded, [replacement.sample])
    own = embed(loaded, single)[0]
    cells = (single.segments[0] == IMAGE).nonzero()[:, 0]
    other = own[cells].mean(dim=0, keepdim=True).expand(cells.numel(), -1)
    if replacement.twin is not None:
        twin = build_batch(loaded, [replace(replacement.sample, image=replacement.twin)])
        other = embed(loaded, twin)[0][cells]
    groups = block_of_cell(cells.numel())
    count = int(groups.max()) + 1
    entering = own.repeat(count + 1, 1, 1)
    for block in range(count):
        at = torch.from_numpy(groups == block).to(cells.device)
        entering[block + 1, cells[at]] = other[at]
    return single.repeated(count + 1), entering, count


def block_of_cell(cells: int) -> np.ndarray:
    """The block that each of P cells of a square grid is in, blocks row-major: cells themselves on a coarse grid."""
    side = round(cells**0.5)
    coarse = side if side <= MOST_CELLS else next(size for size in range(MOST_CELLS, 0, -1) if side % size == 0)
    axis = np.arange(side) * coarse // side
    return np.asarray(axis[:, None] * coarse + axis[None, :]).reshape(-1)


def _totals(
    loaded: LoadedModel,
    batch: TokenBatch,
    entering: Float[Tensor, "B T D"],
    layers: Mapping[int, tuple[LayerView, Sequence[int]]],
) -> dict[tuple[int, int], Float[np.ndarray, " B"]]:
    """Each feature's activation summed over the image rows of each sequence, by layer and feature."""
    parts: dict[tuple[int, int], list[np.ndarray]] = {}
    for start in range(0, len(batch), _SEQUENCES):
        some = slice(start, start + _SEQUENCES)
        streams = run_embedded(loaded, batch.rows(some), entering[some], list(layers))
        at = batch.segments[some] == IMAGE
        for layer, (opened, features) in layers.items():
            rows = streams[layer][at].float()
            with torch.no_grad():
                active = opened.sae.to(rows.device).activations(rows, torch.tensor(list(features), device=rows.device))
            summed = active.reshape(at.shape[0], -1, len(features)).sum(dim=1).cpu().numpy()
            for column, feature in enumerate(features):
                parts.setdefault((layer, feature), []).append(summed[:, column])
    return {key: np.concatenate(found) for key, found in parts.items()}
