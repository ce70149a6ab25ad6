"""Scores of maps against boxes, image by image and summed up, beside chance, the middle and other features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from core.analysis.visual_patterns.image_maps import ImageGrid, centre_prior, chance_overlap, overlap, pointing
from core.features.layer_view import LayerView
from core.stats.intervals import bootstrap_mean

_SCORES: dict[str, Any] = {
    "images": pl.UInt32,
    "coverage": pl.Float64,
    "pointing": pl.Float64,
    "chance": pl.Float64,
    "centre": pl.Float64,
    "control": pl.Float64,
    "excess": pl.Float64,
    "excess_low": pl.Float64,
    "excess_high": pl.Float64,
    "iou": pl.Float64,
    "iou_chance": pl.Float64,
    "iou_excess": pl.Float64,
    "iou_excess_low": pl.Float64,
    "iou_excess_high": pl.Float64,
}
LOCALISATION = pl.Schema({"layer": pl.UInt16, "feature": pl.UInt32, "box": pl.String, **_SCORES})
"""One row a feature and box; a null feature is the layer's features averaged by image."""

_MAPS: dict[str, Any] = {
    "layer": pl.UInt16,
    "feature": pl.UInt32,
    "rank": pl.UInt16,
    "sample_id": pl.String,
    "image_id": pl.String,
    "image": pl.String,
    "strongest": pl.Float32,
    "map": pl.List(pl.Float32),
}
MAPS = pl.Schema(_MAPS)

Boxes = Mapping[str, Bool[np.ndarray, "N P"]]


@dataclass(frozen=True)
class MappedLayer:
    """A layer's chosen features, matched controls, the maps' grid over the test images, and how strongly the features
    go with gender on the selection split."""

    opened: LayerView
    features: tuple[int, ...]
    controls: tuple[int, ...]
    grid: ImageGrid
    association: float

    def maps(self, feature: int) -> Float[np.ndarray, "N P"]:
        """A feature's maps over the test images."""
        return self.grid.maps(self.opened, feature)


@dataclass(frozen=True)
class _Scores:
    """By image, NaN where a feature is silent or there is no box."""

    pointing: Float[np.ndarray, " N"]
    iou: Float[np.ndarray, " N"]
    iou_chance: Float[np.ndarray, " N"]


def localise(layer: MappedLayer, boxes: Boxes, draws: int, seed: int) -> pl.DataFrame:
    """Score every chosen feature of a layer against every kind of box."""
    rows = []
    for name, cells in boxes.items():
        scores = [_score(layer.maps(feature), cells, seed) for feature in layer.features]
        control = [pointing(layer.maps(feature), cells) for feature in layer.controls]
        shared = {"layer": layer.opened.layer, "box": name, "control": _mean(control)}
        for feature, score in zip(layer.features, scores, strict=True):
            rows.append({**shared, "feature": feature, **_row(score, cells, layer.grid.side, (draws, seed))})
        together = _Scores(
            *(_by_image([getattr(s, part) for s in scores]) for part in ("pointing", "iou", "iou_chance"))
        )
        rows.append({**shared, "feature": None, **_row(together, cells, layer.grid.side, (draws, seed))})
    return pl.DataFrame(rows, schema=LOCALISATION)


def _score(maps: Float[np.ndarray, "N P"], boxes: Bool[np.ndarray, "N P"], seed: int) -> _Scores:
    return _Scores(pointing(maps, boxes), overlap(maps, boxes), chance_overlap(maps, boxes, seed))


def _row(
    scores: _Scores, boxes: Bool[np.ndarray, "N P"], side: int, resampling: tuple[int, int]
) -> dict[str, float | int]:
    seen = np.isfinite(scores.pointing)
    chance = boxes.mean(axis=1)  # a cell drawn at random
    middle = pointing(np.tile(centre_prior(side), (len(boxes), 1)), boxes)
    excess = bootstrap_mean((scores.pointing - chance)[seen], *resampling)
    iou = bootstrap_mean((scores.iou - scores.iou_chance)[seen], *resampling)
    return {
        "images": int(seen.sum()),
        "coverage": float(seen.sum() / max(boxes.any(axis=1).sum(), 1)),
        "pointing": _mean([scores.pointing[seen]]),
        "chance": _mean([chance[seen]]),
        "centre": _mean([middle[seen]]),
        "excess": excess.mean,
        "excess_low": excess.low,
        "excess_high": excess.high,
        "iou": _mean([scores.iou[seen]]),
        "iou_chance": _mean([scores.iou_chance[seen]]),
        "iou_excess": iou.mean,
        "iou_excess_low": iou.low,
        "iou_excess_high": iou.high,
    }


def _by_image(scores: Sequence[Float[np.ndarray, " N"]]) -> Float[np.ndarray, " N"]:
    """The mean over features of each image, NaN where all are."""
    stacked = np.stack(scores)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _mean(scores: Sequence[Float[np.ndarray, " N"]]) -> float:
    finite = [part[np.isfinite(part)] for part in scores]
    joined = np.concatenate(finite) if finite else np.empty(0)
    return float(joined.mean()) if joined.size else float("nan")


def top_maps(layer: MappedLayer, samples: pl.DataFrame, count: int) -> pl.DataFrame:
    """The images on which each feature's map is strongest, with the map, row-major."""
    rows = []
    described = samples.select("sample_id", "image_id", "image").rows()
    for feature in layer.features:
        maps = layer.maps(feature)
        strength = maps.max(axis=1)
        order = [int(number) for number in np.argsort(-strength, kind="stable")[:count] if strength[number] > 0]
        for rank, number in enumerate(order, start=1):
            names = dict(zip(("sample_id", "image_id", "image"), described[number], strict=True))
            found = {"layer": layer.opened.layer, "feature": feature, "rank": rank, **names}
            rows.append({**found, "strongest": float(strength[number]), "map": maps[number].tolist()})
    return pl.DataFrame(rows, schema=MAPS)
