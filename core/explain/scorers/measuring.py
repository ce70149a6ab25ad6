"""Scores from what judges said: by kind of example and language, with an interval over images."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.explain.metrics import ALL
from core.stats.correlation import bootstrap_correlation
from core.stats.enrichment import balanced_accuracy
from core.stats.intervals import Interval, bootstrap_auroc, bootstrap_mean

Numbers = Float[np.ndarray, " n"]
Units = Int[np.ndarray, " n"]
Measure = Callable[[Numbers, Numbers, Units, int, int], Interval]
_FEW = 50
"""Resamples where no interval is asked for: the measures need some."""
_NONE = Interval(math.nan, math.nan, math.nan)


def accuracy(truth: Numbers, said: Numbers, units: Units, draws: int, seed: int) -> Interval:
    """Balanced accuracy: the mean of the share found of what is so, and the share left out of what is not."""
    return balanced_accuracy(said > 0.5, truth > 0.5, units, draws, seed)


def area(truth: Numbers, said: Numbers, units: Units, draws: int, seed: int) -> Interval:
    """AUROC: how often what is so is rated above what is not."""
    return bootstrap_auroc(said, (truth > 0.5).astype(np.int64), draws, seed, units)


def correlation(truth: Numbers, said: Numbers, units: Units, draws: int, seed: int) -> Interval:
    """Pearson's correlation over the tokens of all examples together."""
    return bootstrap_correlation(truth, said, draws, seed, units)


def mean_said(truth: Numbers, said: Numbers, units: Units, draws: int, seed: int) -> Interval:
    """The mean of what is credited to the judge."""
    return bootstrap_mean(said, draws, seed, units)


def measured(judged: pl.DataFrame, measure: Measure, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """One score per explanation, kind of example and language: columns of `SCORES`.

    `n` examples were judged. Examples on which the answer could not be read are counted in `n_failed` and enter
    nothing else. A score that is not defined, as without a firing example, is null, and so are the ends of an interval
    over one unit, or of no draws.
    """
    who = ["feature_id", "explainer"]
    for key, part in judged.group_by(who, maintain_order=True):
        rows = part.select("unit", "language", "kinds", "truth", "said").rows(named=True)
        for kind in dict.fromkeys(kind for row in rows for kind in row["kinds"]):
            for language in (ALL, *sorted({row["language"] for row in rows if row["language"]})):
                own = [row for row in rows if kind in row["kinds"] and language in (ALL, row["language"])]
                if own:
                    named = {"example_kind": kind, "language": language}
                    yield {**dict(zip(who, key, strict=True)), **named, **_score(own, measure, draws, seed)}


def _score(rows: Sequence[Mapping[str, Any]], measure: Measure, draws: int, seed: int) -> dict[str, Any]:
    read = [row for row in rows if row["said"] is not None]
    truth, said = (np.array([one for row in read for one in row[name]]) for name in ("truth", "said"))
    units = np.array([row["unit"] for row in read for _ in row["truth"]])
    found = measure(truth, said, units, draws or _FEW, seed) if read else _NONE
    alone = draws == 0 or np.unique(units).size < 2
    low, high = (math.nan, math.nan) if alone else (found.low, found.high)
    numbers = {"value": found.mean, "low": low, "high": high}
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**finite, "n": len(read), "n_failed": len(rows) - len(read)}
