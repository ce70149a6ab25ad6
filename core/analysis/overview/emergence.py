"""One layer's row of the emergence curve: how well gender is read off it, by language and position set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.data.concept import Concept
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.stats.intervals import auroc, bootstrap_auroc, wilson
from core.stats.probes import (
    SPARSE_K,
    Labelled,
    Probe,
    choose_strength,
    control_accuracy,
    difference_of_means,
    discriminant,
    groups_out_auroc,
    logistic_at,
    shuffled_aurocs,
    sparse_probe,
)

SUSTAINED = 3
"""Measured layers in a row that must lie above chance for "emerges"."""


@dataclass(frozen=True)
class ProbeSetup:
    """What probes need beside the rows: labels by language, groups by image (professions), draws and seed."""

    labels: Mapping[str, Labels]
    groups: Mapping[str, str]
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class LabelledSplits:
    """The units of the three splits; `select` is null where a gender has fewer than 5 images there."""

    train: Labelled
    select: Labelled | None
    test: Labelled


def split_units(
    images: list[str], x: Float[np.ndarray, "N D"], setup: ProbeSetup, language: str, words: np.ndarray | None = None
) -> LabelledSplits | None:
    """Sort units into splits; null when train or test has fewer than 5 images of a gender."""
    groups = np.array([setup.groups[image] for image in images]) if setup.groups else None
    parts: list[Labelled | None] = []
    for split in ("train", "select", "test"):
        known = labelled_images(images, setup.labels[language], split)
        if known is None:
            parts.append(None)
            continue
        of = [values[known.rows] if values is not None else None for values in (groups, words)]
        parts.append(Labelled(x[known.rows].astype(np.float64), known.positive, of[0], of[1]))
    train, select, test = parts
    return LabelledSplits(train, select, test) if train is not None and test is not None else None


def reading_sets(concept: Concept) -> tuple[str, ...]:
    """Position sets that are probed; *other* rows come before no decision and after no gendered word."""
    return concept.position_sets[:-1]


def read_gender(view: LayerView, setup: ProbeSetup) -> list[dict[str, Any]]:
    """Rows of the emergence table for one layer."""
    decision_sets = view.concept.decision_sets
    rows = []
    for language in sorted(setup.labels):
        for position_set in reading_sets(view.concept):
            images, x = stream_means(view.stream_sums, view.groups, language, position_set)
            words = view.groups.words(language, position_set) if images else None
            units = split_units(images, x, setup, language, words) if images else None
            if units is None:
                continue
            found = _dense_methods(units, setup)
            if position_set in decision_sets:
                by_feature = view.feature_sums.by_image(language, position_set)
                coded = split_units(by_feature.images, by_feature.means, setup, language)
                found += _sparse_methods(coded, setup) if coded is not None else []
            place = {"layer": view.layer, "language": language, "position_set": position_set}
            rows += [{**place, "decision": position_set in decision_sets, **row} for row in found]
    return rows


def _dense_methods(units: LabelledSplits, setup: ProbeSetup) -> list[dict[str, Any]]:
    strength = choose_strength(units.train, setup.seed)
    logistic = _score("logistic", logistic_at(units.train, strength), units, setup)
    null = shuffled_aurocs(units.train, units.test, strength, setup.seed)
    logistic.update(shuffled=float(null.mean()), shuffled_high=float(np.quantile(null, 0.975)))
    logistic["control"] = control_accuracy(units.train, units.test, strength, setup.seed)
    logistic["professions_out"] = groups_out_auroc(units.train, units.test, strength)
    means = _score("difference of means", difference_of_means(units.train), units, setup)
    return [means, _score("LDA", discriminant(units.train), units, setup), logistic]


def _sparse_methods(units: LabelledSplits, setup: ProbeSetup) -> list[dict[str, Any]]:
    rows = []
    for k in SPARSE_K:
        chosen, probe = sparse_probe(units.train, k)
        select = Labelled(units.select.x[:, chosen], units.select.y) if units.select else None
        narrow = LabelledSplits(units.train, select, Labelled(units.test.x[:, chosen], units.test.y))
        rows.append(_score(f"{k} feature{'s' if k > 1 else ''}", probe, narrow, setup))
    return rows


def _score(method: str, probe: Probe, units: LabelledSplits, setup: ProbeSetup) -> dict[str, Any]:
    test = units.test
    area = bootstrap_auroc(probe.score(test.x), test.y.astype(np.int64), setup.bootstrap, setup.seed)
    accuracy = wilson(round(probe.accuracy(test) * len(test.y)), len(test.y))
    select = units.select
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
        "shuffled": math.nan,
        "shuffled_high": math.nan,
        "control": math.nan,
        "professions_out": math.nan,
        "train_images": len(units.train.y),
        "test_images": len(test.y),
    }


_AT_PEAK = (
    "decision", "auroc", "low", "high", "shuffled", "shuffled_high", "accuracy", "control", "professions_out",
    "test_images",
)  # fmt: skip
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
        **dict.fromkeys(("majority", "shuffled", "shuffled_high", "control", "professions_out"), pl.Float64),
        "train_images": pl.UInt32,
        "test_images": pl.UInt32,
    }
)


SUMMARY = pl.Schema(
    {
        "language": pl.String(),
        "position_set": pl.String(),
        "emerges_at": pl.UInt16(),
        "peak_layer": pl.UInt16(),
        **{name: EMERGENCE[name] for name in _AT_PEAK},
    }
)


def summarise(emergence: pl.DataFrame) -> pl.DataFrame:
    """Where gender emerges, one row a language and position set, from the logistic probe.

    Returns:
        language, position_set, decision, emerges_at (first layer from which three measured layers in a row have their
        interval above ½ and their AUROC above what shuffled labels reach in 97.5 % of runs; null: none), peak_layer
        (chosen on the selection split), and there, on test images: auroc, low, high, shuffled and shuffled_high (mean
        and 97.5th percentile under shuffled labels), accuracy, control, professions_out, test_images.
    """
    rows = []
    keys = ["position_set", "language"]
    for (position_set, language), part in emergence.filter(pl.col("method") == "logistic").group_by(
        keys, maintain_order=True
    ):
        curve = part.sort("layer")
        chosen = curve["auroc_select"].fill_nan(None)
        peak = curve.row(int(chosen.arg_max() or 0) if chosen.is_not_null().any() else curve.height - 1, named=True)
        above = (curve["low"] > 0.5) & (curve["auroc"] > curve["shuffled_high"])
        first = first_sustained(curve["layer"].to_list(), above.to_list())
        place = {"language": language, "position_set": position_set, "emerges_at": first, "peak_layer": peak["layer"]}
        rows.append({**place, **{name: peak[name] for name in _AT_PEAK}})
    return pl.DataFrame(rows, schema=SUMMARY)


def first_sustained(layers: list[int], above: list[bool]) -> int | None:
    """The first layer at which `above` holds for three measured layers in a row (or all that are left, if two)."""
    needed = min(SUSTAINED, len(layers))
    for start in range(len(layers) - needed + 1):
        if all(above[start : start + needed]):
            return layers[start]
    return None
