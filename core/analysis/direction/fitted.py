"""The direction of one layer, language and position set: fitted on training images, measured on test images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.features.associations import LabelledImages, Labels, labelled_images
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.stats.clustered import dealt
from core.stats.intervals import auroc, bootstrap_auroc, permutation_p
from core.stats.probes import Labelled, Probe, difference_of_means, discriminant
from core.stats.projection import Axes, axes_beside, random_directions
from core.stats.ranks import rank, rank_test

METHODS = {"difference of means": difference_of_means, "LDA": discriminant}
_ENDS = ("low", "high", "shuffled", "shuffled_low", "shuffled_high", "random", "random_low", "random_high")
_PLACE: dict[str, Any] = {
    "layer": pl.UInt16,
    "language": pl.String,
    "position_set": pl.String,
    "method": pl.String,
}
SEPARATION: dict[str, Any] = {
    **_PLACE,
    **dict.fromkeys(("auroc_select", "auroc", *_ENDS), pl.Float64),
    "draws": pl.UInt32,
    "p": pl.Float64,
    "distance": pl.Float64,
    "cosine": pl.Float64,
    **dict.fromkeys(("share", "first_share", "second_share"), pl.Float64),
    **dict.fromkeys(("train_images", "test_images"), pl.UInt32),
}
"""One row per layer, language, position set and method: AUROC on selection and test images, interval and controls, the
distance of the test means in standard deviations within a side, the cosine with the difference of means, and the
shares of the training variance along the direction and the two components beside it."""
PROJECTIONS: dict[str, Any] = {
    **_PLACE,
    "image_id": pl.String,
    "label": pl.String,
    **dict.fromkeys(("along", "first", "second"), pl.Float64),
}
"""One row a test image: where it lies along the direction and the two components beside it, in standard deviations of
training images."""


@dataclass(frozen=True)
class Draws:
    """Random draws behind controls and intervals, and their seed."""

    controls: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class Place:
    """The images of one layer, language and position set, by split; `select` is null where it has too few."""

    layer: int
    language: str
    position_set: str
    names: list[str]
    x: Float[np.ndarray, "N D"]
    train: LabelledImages
    select: LabelledImages | None
    test: LabelledImages
    units: np.ndarray

    @property
    def key(self) -> dict[str, Any]:
        """Its columns."""
        return {"layer": self.layer, "language": self.language, "position_set": self.position_set}

    def labelled(self, of: LabelledImages) -> Labelled:
        """The images of a split."""
        return Labelled(self.x[of.rows], of.positive, units=self.units[of.rows])


def places(view: LayerView, inputs: AnalysisInputs, labels: dict[str, Labels]) -> Iterator[Place]:
    """The places of a layer that have enough images of both sides: before the caption, before its first word of the
    concept and on it."""
    concept = inputs.concept
    for position_set in (*concept.decision_sets, concept.positions.first):
        for language in view.groups.languages(position_set, inputs.languages):
            names, x = stream_means(view.stream_sums, view.groups, language, position_set)
            train, select, test = (
                labelled_images(names, labels[language], split) for split in ("train", "select", "test")
            )
            if train is not None and test is not None:
                units = inputs.units(names)
                place = (view.layer, language, position_set)
                yield Place(*place, names, x.astype(np.float64), train, select, test, units)


def measure(place: Place, draws: Draws) -> pl.DataFrame:
    """Each method's direction, measured."""
    train = place.labelled(place.train)
    means = difference_of_means(train).direction
    rows = [
        {**place.key, "method": name, **_measured(place, fit(train), draws), "cosine": _cosine(fit(train), means)}
        for name, fit in METHODS.items()
    ]
    return pl.DataFrame(rows, schema=SEPARATION)


def project(place: Place, sides: tuple[str, str], most: int) -> pl.DataFrame:
    """Where test images lie, for each method; at most `most` of them, twins together."""
    train, test = place.labelled(place.train), place.labelled(place.test)
    assert test.units is not None
    order = np.argsort(np.unique(test.units, return_inverse=True)[1], kind="stable")[:most]
    names = [place.names[row] for row in place.test.rows[order]]
    label = np.where(test.y[order], *sides)
    frames = []
    for name, fit in METHODS.items():
        placed = _axes(train, fit(train)).place(test.x[order])
        columns = dict(zip(("along", "first", "second"), placed.T, strict=True))
        frames.append(pl.DataFrame({"image_id": names, "label": label, **columns}).with_columns(method=pl.lit(name)))
    placed_all = pl.concat(frames).with_columns(**{key: pl.lit(value) for key, value in place.key.items()})
    return placed_all.select(*PROJECTIONS).cast(pl.Schema(PROJECTIONS))


def _axes(train: Labelled, probe: Probe) -> Axes:
    return axes_beside(train.x, probe.direction)


def _measured(place: Place, probe: Probe, draws: Draws) -> dict[str, Any]:
    train, test = place.labelled(place.train), place.labelled(place.test)
    score = probe.score(test.x)
    units = place.units[place.test.rows]
    low, area, high = bootstrap_auroc(score, test.y.astype(np.int64), draws.bootstrap, draws.seed, units)
    shuffled = rank_test(rank(score[:, None]), dealt(test.y, units, draws.controls, draws.seed).T)[0][0]
    others = test.x @ random_directions(train.x, draws.controls, draws.seed).T
    random = np.abs(rank_test(rank(others), test.y[:, None])[0][:, 0] - 0.5) + 0.5
    shares = _axes(train, probe).shares
    apart = abs(area - 0.5)
    return {
        "auroc_select": _on_select(place, probe),
        "auroc": area,
        "low": low,
        "high": high,
        **_spread("shuffled", shuffled),
        **_spread("random", random),
        "draws": shuffled.size,
        "p": max(permutation_p(apart, np.abs(shuffled - 0.5)), permutation_p(apart, random - 0.5)),
        "distance": _distance(score, test.y),
        **dict(zip(("share", "first_share", "second_share"), shares.tolist(), strict=True)),
        "train_images": len(train.y),
        "test_images": len(test.y),
    }


def _spread(name: str, drawn: Float[np.ndarray, " K"]) -> dict[str, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {name: float(drawn.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def _on_select(place: Place, probe: Probe) -> float:
    if place.select is None:
        return float("nan")
    select = place.labelled(place.select)
    return auroc(probe.score(select.x), select.y.astype(np.int64))


def _distance(score: Float[np.ndarray, " n"], positive: np.ndarray) -> float:
    sides = score[positive], score[~positive]
    within = np.sqrt(np.mean([side.var() for side in sides]))
    return float((sides[0].mean() - sides[1].mean()) / within) if within > 0 else float("nan")


def _cosine(probe: Probe, means: Float[np.ndarray, " D"]) -> float:
    lengths = np.linalg.norm(probe.direction) * np.linalg.norm(means)
    return float(probe.direction @ means / lengths) if lengths > 0 else float("nan")
