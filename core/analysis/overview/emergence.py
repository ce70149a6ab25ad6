"""One layer's row of the emergence curve: how well the concept is read off it, by language and position set."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.activations.stream_rows import SHARED
from core.data.concept import Concept
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.features.shuffles import ShuffledLabels
from core.stats.curves import LayerScores, layer_scores
from core.stats.groups_out import GroupsOut, groups_out
from core.stats.intervals import auroc, bootstrap_auroc, wilson
from core.stats.probes import (
    SPARSE_K,
    Labelled,
    Probe,
    choose_strength,
    control_accuracy,
    difference_of_means,
    discriminant,
    logistic_at,
    sparse_probe,
)
from core.stats.two_level import Nested

CURVE = "logistic"
"""The probe whose AUROC over layers is the emergence curve."""


@dataclass(frozen=True)
class ProbeSetup:
    """What probes need beside the rows: labels by language (and those of shared rows), shuffles of the test images'
    labels, groups (professions) and units by image, bootstrap draws and seed; whether the probes of professions that
    they were trained without get an interval."""

    labels: Mapping[str, Labels]
    shuffled: ShuffledLabels
    groups: Mapping[str, str]
    units: Mapping[str, int]
    bootstrap: int
    seed: int
    unseen: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """The captions' languages, in order."""
        return tuple(sorted(set(self.labels) - {SHARED}))


class Place(NamedTuple):
    """A curve: one language and position set."""

    language: str
    position_set: str


@dataclass(frozen=True)
class LabelledSplits:
    """The images of the three splits; `select` is null where a side has fewer than 5 images there.

    `tested` names the test images, in order.
    """

    train: Labelled
    select: Labelled | None
    test: Labelled
    tested: list[str]


@dataclass(frozen=True)
class LayerReading:
    """One layer: rows of the emergence table, and each curve's score with its null ones."""

    rows: list[dict[str, Any]]
    scores: dict[Place, LayerScores]


def split_units(
    images: list[str], x: Float[np.ndarray, "N D"], setup: ProbeSetup, language: str, words: np.ndarray | None = None
) -> LabelledSplits | None:
    """Sort images into splits; null when train or test has fewer than 5 images of a side."""
    groups = np.array([setup.groups[image] for image in images]) if setup.groups else None
    units: Int[np.ndarray, " N"] = np.array([setup.units[image] for image in images], dtype=np.int64)
    parts: dict[str, Labelled | None] = {}
    tested: list[str] = []
    for split in ("train", "select", "test"):
        known = labelled_images(images, setup.labels[language], split)
        if known is None:
            parts[split] = None
            continue
        of = [values[known.rows] if values is not None else None for values in (groups, words, units)]
        parts[split] = Labelled(x[known.rows].astype(np.float64), known.positive, *of)
        tested = [images[row] for row in known.rows]
    train, select, test = (parts[split] for split in ("train", "select", "test"))
    return LabelledSplits(train, select, test, tested) if train is not None and test is not None else None


def reading_sets(concept: Concept) -> tuple[str, ...]:
    """Position sets that are probed; *other* rows come before no decision and after none of the concept's words."""
    return concept.position_sets[:-1]


def read_concept(view: LayerView, setup: ProbeSetup) -> LayerReading:
    """Read the concept off one layer; rows that all languages share are read once, as language `shared`."""
    rows, scores = [], {}
    for place in _places(view, setup):
        images, x = stream_means(view.stream_sums, view.groups, *place)
        words = view.groups.words(*place) if images else None
        units = split_units(images, x, setup, place.language, words) if images else None
        if units is None:
            continue
        found, scores[place] = read_stream(units, setup, place.language)
        decision = place.position_set in view.concept.decision_sets
        if decision:
            by_feature = view.feature_sums.by_image(*place)
            coded = split_units(by_feature.images, by_feature.means, setup, place.language)
            found += _sparse_methods(coded, setup) if coded is not None else []
        rows += [{"layer": view.layer, **place._asdict(), "decision": decision, **row} for row in found]
    return LayerReading(rows, scores)


def _places(view: LayerView, setup: ProbeSetup) -> Iterator[Place]:
    for position_set in reading_sets(view.concept):
        for language in view.groups.languages(position_set, setup.languages):
            yield Place(language, position_set)


def read_stream(units: LabelledSplits, setup: ProbeSetup, language: str) -> tuple[list[dict[str, Any]], LayerScores]:
    """Rows of the three probes of the stream, fitted on train and scored on test, and the curve's score."""
    strength = choose_strength(units.train, setup.seed)
    probe = logistic_at(units.train, strength)
    shuffled = setup.shuffled.of(units.tested, language)
    scores = layer_scores(probe.score(units.test.x), units.test.y, shuffled)
    logistic = _score(CURVE, probe, units, setup)
    low, high = np.quantile(scores.null_auroc, [0.025, 0.975])
    logistic.update(shuffled=float(scores.null_auroc.mean()), shuffled_low=float(low), shuffled_high=float(high))
    logistic["control"] = control_accuracy(units.train, units.test, strength, setup.seed)
    unseen = groups_out(units.train, units.test, strength)
    if unseen is not None:
        logistic["professions_out"] = unseen.area
        logistic |= {"unseen": _unseen(unseen, units, setup, shuffled)} if setup.unseen else {}
    means = _score("difference of means", difference_of_means(units.train), units, setup)
    return [means, _score("LDA", discriminant(units.train), units, setup), logistic], scores


def _unseen(
    found: GroupsOut, units: LabelledSplits, setup: ProbeSetup, shuffled: Bool[np.ndarray, "n draws"]
) -> dict[str, Any]:
    """The area on professions that the probes were trained without, with its interval over professions, then images,
    and what it is for each shuffle of the curve."""
    test = units.test
    groups = [] if test.groups is None else test.groups.tolist()
    nested = Nested.of(groups, np.arange(len(test.y)) if test.units is None else test.units)
    area, null = found.interval(nested, setup.bootstrap, setup.seed), found.null(shuffled)
    low, high = np.quantile(null, [0.025, 0.975])
    return {
        "professions": np.unique(nested.groups).size,
        "test_images": len(test.y),
        **{"auroc": area.mean, "low": area.low, "high": area.high},
        **{"shuffled": float(null.mean()), "shuffled_low": float(low), "shuffled_high": float(high)},
        "p": found.p(null),
    }


def _sparse_methods(units: LabelledSplits, setup: ProbeSetup) -> list[dict[str, Any]]:
    rows = []
    for k in SPARSE_K:
        chosen, probe = sparse_probe(units.train, k)
        train, test = (Labelled(part.x[:, chosen], part.y, units=part.units) for part in (units.train, units.test))
        select = Labelled(units.select.x[:, chosen], units.select.y) if units.select else None
        narrow = LabelledSplits(train, select, test, units.tested)
        rows.append(_score(f"{k} feature{'s' if k > 1 else ''}", probe, narrow, setup))
    return rows


def _score(method: str, probe: Probe, units: LabelledSplits, setup: ProbeSetup) -> dict[str, Any]:
    test, select = units.test, units.select
    area = bootstrap_auroc(probe.score(test.x), test.y.astype(np.int64), setup.bootstrap, setup.seed, test.units)
    accuracy = wilson(round(probe.accuracy(test) * len(test.y)), len(test.y))
    return {
        "method": method,
        "auroc": area.mean,
        "low": area.low,
        "high": area.high,
        "auroc_select": auroc(probe.score(select.x), select.y.astype(np.int64)) if select else math.nan,
        "accuracy": accuracy.mean,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "majority": float((test.y == (units.train.y.mean() > 0.5)).mean()),
        **dict.fromkeys(_OF_CURVE, math.nan),
        "train_images": len(units.train.y),
        "test_images": len(test.y),
    }


_OF_CURVE = ("shuffled", "shuffled_low", "shuffled_high", "control", "professions_out")
EMERGENCE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "position_set": pl.String,
        "decision": pl.Boolean,
        "method": pl.String,
        **dict.fromkeys(
            ("auroc", "low", "high", "auroc_select", "accuracy", "accuracy_low", "accuracy_high"), pl.Float64
        ),
        **dict.fromkeys(("majority", *_OF_CURVE), pl.Float64),
        "train_images": pl.UInt32,
        "test_images": pl.UInt32,
    }
)
