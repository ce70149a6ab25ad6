"""How a feature's activations spread over orders of magnitude: a histogram of halvings of its maximum."""

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from core.features.statistics import Chunk, Occurrences

HALVINGS = 16
"""Bins of a histogram."""
HISTOGRAMS = pl.Schema({"feature": pl.UInt32(), "max": pl.Float32(), "counts": pl.List(pl.UInt32())})
"""One row per feature. `counts`, from weak to strong: the last counts activations of at
least half of `max`, the one before those of at least a quarter of it, and so on; the first counts all weaker ones."""


def log_histograms(occurrences: Occurrences, counted: Bool[np.ndarray, " T"]) -> pl.DataFrame:
    """The histogram of every feature over the rows of `counted`: `HISTOGRAMS`, `max` null where it never fires."""
    parts = [_of(chunk.where(counted[chunk.rows])) for chunk in occurrences.chunks()]
    return pl.concat(parts) if parts else HISTOGRAMS.to_frame()


def _of(chunk: Chunk) -> pl.DataFrame:
    features = chunk.stop - chunk.first
    largest = np.zeros(features, np.float32)
    np.maximum.at(largest, chunk.feature, chunk.values)
    exponents: Any = np.frexp(chunk.values / largest[chunk.feature])[1]  # 1 for the maximum, 0 for the rest of its half
    bins = np.clip(HALVINGS - 1 + exponents, 0, HALVINGS - 1)
    counts = np.bincount(chunk.feature * HALVINGS + bins, minlength=features * HALVINGS).reshape(features, HALVINGS)
    columns = {
        "feature": np.arange(chunk.first, chunk.stop),
        "max": pl.Series(largest).replace(0, None),
        "counts": counts.tolist(),
    }
    return pl.DataFrame(columns).cast(HISTOGRAMS)
