"""One layer's probes of each language, scored on every language."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from core.features.associations import Labels, labelled_images
from core.features.readings import FROZEN_READ, SAE_READ, STREAM_READ, LayerReadings, Rows
from core.features.shuffles import ShuffledLabels
from core.stats.curves import LayerScores, layer_scores
from core.stats.intervals import auroc, bootstrap_auroc, bootstrap_mean
from core.stats.probes import Labelled, Probe, logistic, sparse_probe
from core.stats.scored import Scored

TRANSFER = pl.Schema(
    {
        "position_set": pl.String,
        "decision": pl.Boolean,
        **dict.fromkeys(("source", "target", "read"), pl.String),
        "features": pl.UInt32,
        "layer": pl.UInt16,
        **dict.fromkeys(("auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high", "p"), pl.Float64),
        **dict.fromkeys(("accuracy", "centred", "centred_low", "centred_high"), pl.Float64),
        **dict.fromkeys(("chance", "chance_low", "chance_high", "p_centred", "majority", "auroc_select"), pl.Float64),
        **dict.fromkeys(("draws", "train_images", "test_images"), pl.UInt32),
    }
)
"""One row a probe and the language that it is scored on; `features` is null for the probe of all dimensions."""


_READ = (STREAM_READ, SAE_READ, FROZEN_READ)


class Kind(NamedTuple):
    """What a probe reads, and how many features; null for all dimensions."""

    read: str
    features: int | None


class Pair(NamedTuple):
    """The language that a probe is trained on, and the one that it is scored on."""

    source: str
    target: str


@dataclass(frozen=True)
class Setup:
    """Labels by language, shuffled labels of test images, the unit of each image, draws, seed and the sparse probes'
    numbers of features."""

    labels: Mapping[str, Labels]
    shuffled: ShuffledLabels
    units: Mapping[str, int]
    draws: int
    seed: int
    ks: tuple[int, int]


@dataclass(frozen=True)
class Part:
    """The images of one split with a label: one row each."""

    images: list[str]
    labelled: Labelled


@dataclass(frozen=True)
class Fitted:
    """A probe of one language: its `centre`, the mean of all its training rows, whatever their label, and how well it
    reads the selection images of its own language."""

    probe: Probe
    columns: list[int] | slice
    centre: Float[np.ndarray, " D"]
    select: float
    train: Part

    def scores(self, x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " n"]:
        """Signed score of each row."""
        return self.probe.score(x[:, self.columns])


def read_place(
    readings: LayerReadings, position_set: str, languages: tuple[str, ...], setup: Setup
) -> Iterator[tuple[Kind, Pair, dict[str, Any], Scored]]:
    """Every probe of every language, scored on every language: the numbers of `TRANSFER`, and the test rows."""
    rows = {language: readings.rows(language, position_set, _READ) for language in languages}
    for kind in _kinds(readings, setup):
        fitted = {language: _fit(rows[language], language, kind, setup) for language in languages}
        for source, probe in fitted.items():
            for target in languages:
                test = _part(rows[target], kind.read, target, "test", setup)
                if probe is not None and test is not None:
                    centre = _centre(rows[target], kind.read, target, setup)
                    row, scored = _score(probe, test, target, centre, setup)
                    yield kind, Pair(source, target), row, scored


def _kinds(readings: LayerReadings, setup: Setup) -> Iterator[Kind]:
    yield Kind(STREAM_READ, None)
    features = readings.view.sae.num_features
    for read in (SAE_READ, FROZEN_READ) if readings.frozen is not None else (SAE_READ,):
        yield from (Kind(read, k) for k in setup.ks if k <= features)


def _part(rows: Rows, read: str, language: str, split: str, setup: Setup) -> Part | None:
    known = labelled_images(rows.images, setup.labels[language], split) if rows.images else None
    if known is None:
        return None
    images = [rows.images[row] for row in known.rows]
    units = np.array([setup.units[image] for image in images], dtype=np.int64)
    x = rows.x[read][known.rows].astype(np.float64)
    return Part(images, Labelled(x, known.positive, units=units))


def _centre(rows: Rows, read: str, language: str, setup: Setup) -> Float[np.ndarray, " D"]:
    """The mean of a language's training rows, whether they have a label or not."""
    table = setup.labels[language].table
    training = set(table.filter(split="train")["image_id"].to_list())
    chosen = [row for row, image in enumerate(rows.images) if image in training]
    mean: Float[np.ndarray, " D"] = rows.x[read][chosen].astype(np.float64).mean(axis=0)
    return mean


def _fit(rows: Rows, language: str, kind: Kind, setup: Setup) -> Fitted | None:
    train = _part(rows, kind.read, language, "train", setup)
    if train is None:
        return None
    columns: list[int] | slice = slice(None)
    if kind.features is None:
        probe = logistic(train.labelled, setup.seed)
    else:
        columns, probe = sparse_probe(train.labelled, kind.features)
    select = _part(rows, kind.read, language, "select", setup)
    area = math.nan
    if select is not None:
        area = auroc(probe.score(select.labelled.x[:, columns]), select.labelled.y.astype(np.int64))
    return Fitted(probe, columns, _centre(rows, kind.read, language, setup), area, train)


def _score(
    fitted: Fitted, test: Part, target: str, centre: Float[np.ndarray, " D"], setup: Setup
) -> tuple[dict[str, Any], Scored]:
    x, y, units = test.labelled.x, test.labelled.y, test.labelled.units
    assert units is not None  # _part gives them
    shuffled = setup.shuffled.of(test.images, target)
    scores = fitted.scores(x)
    against = layer_scores(scores, y, shuffled)
    area = bootstrap_auroc(scores, y.astype(np.int64), setup.draws, setup.seed, units)
    moved = fitted.scores(x - centre + fitted.centre) > 0
    row = {
        **{"auroc": area.mean, "low": area.low, "high": area.high},
        **_null("shuffled", against.null_auroc),
        "p": _two_sided(against),
        "accuracy": float(((scores > 0) == y).mean()),
        **_accuracy(moved, test.labelled, shuffled, setup),
        "majority": float((y == (fitted.train.labelled.y.mean() > 0.5)).mean()),
        "auroc_select": fitted.select,
        "draws": setup.draws,
        "train_images": len(fitted.train.images),
        "test_images": len(test.images),
    }
    return row, Scored(scores[:, None], y[:, None], units)


def _two_sided(scores: LayerScores) -> float:
    """The p of the area by the same distance that its interval is read at: from ½."""
    far = np.abs(scores.null_auroc - 0.5) >= abs(scores.auroc - 0.5) - 1e-12
    return float((1 + np.count_nonzero(far)) / (1 + far.size))


def _accuracy(
    decided: Bool[np.ndarray, " n"], test: Labelled, shuffled: Bool[np.ndarray, "n draws"], setup: Setup
) -> dict[str, float]:
    right = decided == test.y
    low, mean, high = bootstrap_mean(right.astype(np.float64), setup.draws, setup.seed, test.units)
    null = (decided[:, None] == shuffled).mean(axis=0)
    far = np.abs(null - null.mean()) >= abs(mean - null.mean()) - 1e-12
    p = (1 + np.count_nonzero(far)) / (1 + far.size)
    return {"centred": mean, "centred_low": low, "centred_high": high, **_null("chance", null), "p_centred": float(p)}


def _null(name: str, drawn: Float[np.ndarray, " draws"]) -> dict[str, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {name: float(drawn.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
