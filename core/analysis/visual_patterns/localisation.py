"""Scores of maps against boxes, image by image and summed up, beside matched features, the middle, and chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from core.analysis.visual_patterns.image_maps import ImageGrid, centre_prior, chance_overlap, overlap, pointing
from core.analysis.visual_patterns.matched import ImageResampling, by_image, compare
from core.features.layer_view import LayerView
from core.stats.intervals import Interval
from core.stats.rate_matching import RateMatched

_SCORES: dict[str, Any] = {
    "features": pl.UInt32,
    "images": pl.UInt32,
    "coverage": pl.Float64,
    "pointing": pl.Float64,
    **dict.fromkeys(("control", "centre", "chance"), pl.Float64),
    "compared": pl.UInt32,
    **dict.fromkeys(("above_control", "above_control_low", "above_control_high"), pl.Float64),
    **dict.fromkeys(("null", "null_low", "null_high"), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("p", "q"), pl.Float64),
    **dict.fromkeys(("above_centre", "above_centre_low", "above_centre_high"), pl.Float64),
    **dict.fromkeys(("above_chance", "above_chance_low", "above_chance_high"), pl.Float64),
    **dict.fromkeys(("iou", "iou_chance", "iou_excess", "iou_excess_low", "iou_excess_high"), pl.Float64),
}
LOCALISATION = pl.Schema({"layer": pl.UInt16, "feature": pl.UInt32, "box": pl.String, **_SCORES})
"""One row per feature and box; a null feature is the layer's features averaged by image, the row with a p."""

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
    """A layer's chosen features, the features that they are compared with, the maps' grid over the test images, how
    strong the features' association with the concept is on the selection split, and their tests there."""

    opened: LayerView
    features: tuple[int, ...]
    matched: RateMatched
    grid: ImageGrid
    association: float
    tests: pl.DataFrame

    def maps(self, feature: int) -> Float[np.ndarray, "N P"]:
        """A feature's maps over the test images."""
        return self.grid.maps(self.opened, feature)


@dataclass(frozen=True)
class _Scores:
    """By image, NaN where a feature is silent or there is no box."""

    pointing: Float[np.ndarray, " N"]
    iou: Float[np.ndarray, " N"]
    iou_chance: Float[np.ndarray, " N"]


def localise(layer: MappedLayer, boxes: Boxes, resampling: ImageResampling) -> pl.DataFrame:
    """Score every chosen feature of a layer against every kind of box, then all of them averaged by image.

    The average is over the features that have a match, or over all of them where none has.
    """
    rows: list[dict[str, Any]] = []
    together = layer.matched.features or layer.features
    for name, cells in boxes.items():
        scores = {feature: _score(layer.maps(feature), cells, resampling.seed) for feature in layer.features}
        drawn = {feature: pointing(layer.maps(feature), cells) for feature in layer.matched.drawn_from}
        shared = {"layer": layer.opened.layer, "box": name}
        for feature, score in scores.items():
            own = compare(score.pointing[None], (feature,), layer.matched, drawn, resampling)
            found = _row(score, cells, layer.grid.side, resampling) | own.described()
            rows.append({**shared, "feature": feature, "features": 1, **found})
        mean = _mean_scores([scores[feature] for feature in together])
        own_scores = np.stack([scores[feature].pointing for feature in together])
        whole = compare(own_scores, together, layer.matched, drawn, resampling)
        found = _row(mean, cells, layer.grid.side, resampling) | whole.tested()
        rows.append({**shared, "feature": None, "features": len(together), **found})
    return pl.DataFrame(rows, schema=LOCALISATION)


def _score(maps: Float[np.ndarray, "N P"], boxes: Bool[np.ndarray, "N P"], seed: int) -> _Scores:
    return _Scores(pointing(maps, boxes), overlap(maps, boxes), chance_overlap(maps, boxes, seed))


def _mean_scores(scores: Sequence[_Scores]) -> _Scores:
    parts = ("pointing", "iou", "iou_chance")
    return _Scores(*(by_image(np.stack([getattr(score, part) for score in scores])) for part in parts))


def _row(
    scores: _Scores, boxes: Bool[np.ndarray, "N P"], side: int, resampling: ImageResampling
) -> dict[str, float | int | None]:
    seen = np.isfinite(scores.pointing)
    chance = boxes.mean(axis=1)  # a cell drawn at random
    middle = pointing(np.tile(centre_prior(side), (len(boxes), 1)), boxes)
    found: dict[str, float | int | None] = {
        "images": int(seen.sum()),
        "coverage": float(seen.sum() / max(boxes.any(axis=1).sum(), 1)),
        "pointing": _mean(scores.pointing[seen]),
        "centre": _mean(middle[seen]),
        "chance": _mean(chance[seen]),
        "iou": _mean(scores.iou[seen]),
        "iou_chance": _mean(scores.iou_chance[seen]),
    }
    above = {"above_centre": middle, "above_chance": chance}
    for name, other in above.items():
        found |= _interval(name, resampling.mean(scores.pointing - other))
    return found | _interval("iou_excess", resampling.mean(scores.iou - scores.iou_chance))


def _interval(name: str, found: Interval) -> dict[str, float | int | None]:
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(scores: Float[np.ndarray, " N"]) -> float:
    return float(scores.mean()) if scores.size else float("nan")


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
