"""Which cells of the image a feature depends on: each cell's soft tokens replaced in turn, the rest left alone.

A replaced cell reaches the feature through the residual stream whatever it shows, so that a causal map is not 0 where
there is no effect. Every image is therefore mapped again with the cells of random other images in place of its twin's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.causal.pairs import opposite_twin, request
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.patched import IMAGE, TokenBatch, build_batch, embed, run_embedded
from core.lm.prompts import EncodedSample, encode_sample

MOST_CELLS = 8
"""Most cells a side that are replaced one by one; finer grids are replaced in square blocks."""
RANDOM = "random-swap"
"""The kind of a map whose cells are replaced by a random other image's."""
_SEQUENCES = 64


@dataclass(frozen=True)
class CausalMap:
    """How much a feature's summed activation over the image falls when each of C blocks of cells is replaced.

    `swap` is 0 where the twin's cells or the image's mean are put in, and counts random images from 1.
    """

    layer: int
    feature: int
    image_id: str
    kind: str
    swap: int
    blocks: Float[np.ndarray, " C"]


@dataclass(frozen=True)
class Replacement:
    """An image, and where the soft tokens that replace its own come from: its twin, or the image's own mean, and for
    comparison some `random` other images."""

    sample: EncodedSample
    twin: Path | None
    random: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """What the cells are replaced by."""
        return "occlusion" if self.twin is None else "twin-swap"

    @property
    def sources(self) -> list[tuple[str, Path | None]]:
        """Kind and image of every replacement, the real one first."""
        return [(self.kind, self.twin), *((RANDOM, other) for other in self.random)]


def replacements(inputs: AnalysisInputs, loaded: LoadedModel, rows: pl.DataFrame, swaps: int) -> list[Replacement]:
    """The images to check, each with its twin's image if that is another one, and `swaps` random other images."""
    known = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    donors = random_images(inputs, rows, swaps)
    found = []
    for row in rows.iter_rows(named=True):
        sample = encode_sample(loaded, request(inputs, row, inputs.languages[0], ""))
        twin = opposite_twin(inputs, row, known.get(row["twin_id"]) if row.get("twin_id") else None)
        others = (_other_picture(inputs, sample, {"image": image}) for image in donors[row["image_id"]])
        random = tuple(other for other in others if other is not None)
        found.append(Replacement(sample, _other_picture(inputs, sample, twin), random))
    return found


def random_images(inputs: AnalysisInputs, rows: pl.DataFrame, count: int) -> dict[str, list[str]]:
    """For each image, up to `count` other test images (by seed) of other units and of its own side.

    An image of the other side would change the concept too, which is what the twin's cells do. Where no other image
    has the side, or the side is not known, all others are drawn from.
    """
    test = inputs.samples.filter((pl.col("split") == "test") & pl.col("image").is_not_null())
    test = test.unique("image_id", keep="first", maintain_order=True).sort("image_id")
    images, pictures = test["image_id"].to_list(), test["image"].to_list()
    units, sides = inputs.units(images), _sides(inputs, images)
    random = np.random.default_rng([inputs.seed, 2])
    found = {}
    for image in rows["image_id"].to_list():
        own = images.index(image)
        others = np.flatnonzero(units != units[own])
        alike = others[(sides[others] == sides[own]) & (sides[own] != "")]
        chosen = random.permutation(alike if alike.size else others)[:count]
        found[image] = [pictures[number] for number in chosen]
    return found


def _sides(inputs: AnalysisInputs, images: Sequence[str]) -> np.ndarray:
    """The side that each image's captions are on, in the first language that tells; empty where none does."""
    told: dict[str, bool] = {}
    for language in reversed(inputs.languages):
        labels = inputs.concept.image_labels(inputs.samples, language).drop_nulls("positive")
        told |= dict(labels.select("image_id", "positive").iter_rows())
    one, other = inputs.concept.sides
    return np.array([{True: one, False: other, None: ""}[told.get(image)] for image in images])


def _other_picture(inputs: AnalysisInputs, sample: EncodedSample, twin: Mapping[str, Any] | None) -> Path | None:
    if twin is None or inputs.images is None or not twin.get("image") or sample.image is None:
        return None
    other = inputs.images / twin["image"]
    # A neutral person's twin differs in words alone.
    return None if other.read_bytes() == sample.image.read_bytes() else other


def causal_maps(
    loaded: LoadedModel, chosen: Sequence[Replacement], layers: Mapping[int, tuple[LayerView, Sequence[int]]]
) -> list[CausalMap]:
    """The causal maps of some features at some layers, all layers from one pass per image and replacement."""
    found: list[CausalMap] = []
    for replacement in chosen:
        image = replacement.sample.image_id
        for swap, (kind, other) in enumerate(replacement.sources):
            batch, entering, blocks = _variants(loaded, replacement.sample, other)
            totals = _totals(loaded, batch, entering, layers)
            for (layer, feature), total in totals.items():
                fall = total[0] - total[1:]
                found.append(CausalMap(layer, feature, image, kind, swap, fall[:blocks]))
    return found


def _variants(
    loaded: LoadedModel, sample: EncodedSample, source: Path | None
) -> tuple[TokenBatch, Float[Tensor, "B T D"], int]:
    """The sequence as it is, then once for every block of cells replaced: by those of `source`, or by their mean."""
    single = build_batch(loaded, [sample])
    own = embed(loaded, single)[0]
    cells = (single.segments[0] == IMAGE).nonzero()[:, 0]
    other = own[cells].mean(dim=0, keepdim=True).expand(cells.numel(), -1)
    if source is not None:
        twin = build_batch(loaded, [replace(sample, image=source)])
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
