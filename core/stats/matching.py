"""Features of two layers matched one to one, by what they fire on and by what they write."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import sparse

MIN_ROWS = 10
"""Least rows a feature is active on to be matched at all."""
QUANTILE = 0.999
"""Quantile of the matches between permuted rows that a real match must pass."""
_BLOCK = 2048


@dataclass(frozen=True)
class Codes:
    """A layer's features on the shared rows.

    `active` [R, F] sparse activations; `mean`, `deviation` [F]; `live` [F]: active on at least 10 of the rows;
    `rates` [F]: the share of rows that a feature is active on.
    """

    active: sparse.csr_array
    mean: Float[np.ndarray, " F"]
    deviation: Float[np.ndarray, " F"]
    live: Bool[np.ndarray, " F"]
    rates: Float[np.ndarray, " F"]

    @classmethod
    def of(cls, active: sparse.csr_array) -> "Codes":
        """Measure each feature; silent features cannot be matched."""
        rows = active.shape[0]
        mean = np.asarray(active.sum(axis=0)).ravel() / rows
        squares = np.asarray(active.multiply(active).sum(axis=0)).ravel() / rows
        counts = np.bincount(active.indices, minlength=active.shape[1])
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        return cls(active, mean, deviation, counts >= MIN_ROWS, counts / rows)


@dataclass(frozen=True)
class Pairs:
    """Pairs of features: `first` of the lower layer, `second` of the upper, and their `value`."""

    first: Int[np.ndarray, " M"]
    second: Int[np.ndarray, " M"]
    value: Float[np.ndarray, " M"]


def match_activations(lower: Codes, upper: Codes, order: Int[np.ndarray, " R"] | None = None) -> Pairs:
    """Mutual nearest features by Pearson correlation over rows, from co-active rows alone.

    Two features that are never active together correlate negatively and are never compared, so F × F numbers are only
    held where features meet.

    Args:
        lower: one layer's features.
        upper: the next layer's, on the same rows.
        order: an order of rows to give `upper`, for the null; null keeps the rows together.
    """
    moved = upper.active if order is None else upper.active[order]
    scores = sparse.csr_array(sparse.csr_array(lower.active.T) @ moved)
    first = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    second = scores.indices
    deviations = lower.deviation[first] * upper.deviation[second]
    usable = lower.live[first] & upper.live[second] & (deviations > 0)
    shared = scores.data / lower.active.shape[0] - lower.mean[first] * upper.mean[second]
    scores.data = np.where(usable, shared / np.where(usable, deviations, 1), -np.inf)
    return _mutual(scores, first)


def match_decoders(
    lower: Float[np.ndarray, "F D"], upper: Float[np.ndarray, "F D"], live: tuple[np.ndarray, np.ndarray]
) -> Pairs:
    """Mutual nearest live features by cosine of their decoder rows, a block of features at a time."""
    names = [np.flatnonzero(part) for part in live]
    if not names[0].size or not names[1].size:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    below, above = (_unit(matrix[part]) for matrix, part in zip((lower, upper), names, strict=True))
    best_above = np.zeros(len(below), dtype=np.int64)
    column_best = np.full(len(above), -np.inf)
    best_below = np.zeros(len(above), dtype=np.int64)
    for start in range(0, len(below), _BLOCK):
        cosine = below[start : start + _BLOCK] @ above.T
        best_above[start : start + _BLOCK] = cosine.argmax(axis=1)
        best = cosine.max(axis=0)
        better = best > column_best
        best_below[better] = cosine.argmax(axis=0)[better] + start
        column_best = np.maximum(column_best, best)
    mutual = np.flatnonzero(best_below[best_above] == np.arange(len(below)))
    return Pairs(names[0][mutual], names[1][best_above[mutual]], column_best[best_above[mutual]])


def permuted_threshold(
    lower: Codes, upper: Codes, strata: Int[np.ndarray, " R"], permutations: int, seed: int
) -> float:
    """The 99.9th percentile of the matches found when rows are permuted within strata (segment and language)."""
    rng = np.random.default_rng(seed)
    values = [match_activations(lower, upper, permute_within(strata, rng)).value for _ in range(permutations)]
    pooled = np.concatenate(values)
    return float(np.quantile(pooled, QUANTILE)) if pooled.size else float("inf")


def permute_within(strata: Int[np.ndarray, " R"], rng: np.random.Generator) -> Int[np.ndarray, " R"]:
    """An order of rows that moves each row within its stratum only."""
    order = np.arange(strata.size)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        order[rows] = rng.permutation(rows)
    return order


def cosines(lower: Float[np.ndarray, "F D"], upper: Float[np.ndarray, "F D"], pairs: Pairs) -> Float[np.ndarray, " M"]:
    """Cosine of the decoder rows of each pair."""
    return np.asarray(np.einsum("md,md->m", _unit(lower[pairs.first]), _unit(upper[pairs.second])))


def _unit(matrix: Float[np.ndarray, "F D"]) -> Float[np.ndarray, "F D"]:
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12))


def _mutual(scores: sparse.csr_array, first: Int[np.ndarray, " M"]) -> Pairs:
    """The entries that are the largest of both their row and their column; `first` is each entry's row."""
    by_column = scores.tocsc()
    value, second = scores.data, scores.indices
    best_first, best_second = (_largest(m.data, m.indptr) for m in (scores, by_column))
    mutual = np.isfinite(value) & (value == best_first[first]) & (value == best_second[second])
    first, second, value = first[mutual], second[mutual], value[mutual]
    # Exact ties could match one feature twice; the lowest partner wins.
    _, once = np.unique(first, return_index=True)
    first, second, value = first[once], second[once], value[once]
    _, once = np.unique(second, return_index=True)
    order = np.sort(once)
    return Pairs(first[order], second[order], value[order])


def _largest(data: Float[np.ndarray, " M"], indptr: Int[np.ndarray, " F1"]) -> Float[np.ndarray, " F"]:
    """The largest entry of each compressed row; −∞ for empty ones."""
    best = np.full(indptr.size - 1, -np.inf, dtype=data.dtype)
    filled = np.flatnonzero(np.diff(indptr))
    if filled.size:
        best[filled] = np.maximum.reduceat(data, indptr[filled])
    return best


def chain(layers: tuple[int, ...], live: list[np.ndarray], matches: list[Pairs]) -> pl.DataFrame:
    """Follow matches from layer to layer.

    Returns:
        track, layer, feature: one row a live feature and layer; matched features share a track.
    """
    rows: dict[str, list[np.ndarray]] = {"track": [], "layer": [], "feature": []}
    tracks, count = np.full(live[0].size, -1), 0
    for number, layer in enumerate(layers):
        inherited = np.full(live[number].size, -1)
        if number:
            pairs = matches[number - 1]
            inherited[pairs.second] = tracks[pairs.first]
        born = np.flatnonzero(live[number] & (inherited < 0))
        inherited[born] = count + np.arange(born.size)
        count, tracks = count + born.size, inherited
        features = np.flatnonzero(live[number])
        for name, values in (
            ("track", tracks[features]),
            ("layer", np.full(features.size, layer)),
            ("feature", features),
        ):
            rows[name].append(values)
    frame = pl.DataFrame({name: np.concatenate(values) for name, values in rows.items()})
    return frame.cast({"track": pl.UInt32, "layer": pl.UInt16, "feature": pl.UInt32})
