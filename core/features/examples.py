"""Where a feature fires, as a reader sees it: rows of each strength with the tokens around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.features.token_rows import TokenRows

EXAMPLES = pl.Schema(
    {
        "feature": pl.UInt32(),
        "quantile": pl.UInt32(),
        "rank": pl.UInt32(),
        "row": pl.UInt32(),
        "value": pl.Float32(),
        "sample_id": pl.String(),
        "image_id": pl.String(),
        "language": pl.String(),
        "segment": pl.String(),
        "position": pl.UInt32(),
        "token": pl.String(),
        "context": pl.List(pl.Struct({"token": pl.String(), "value": pl.Float32()})),
    }
)
"""Examples by feature and quantile (the highest number holds the strongest rows). `context` are the tokens around the
row in its own segment with the feature's activation on each; empty for an image row, whose place is its position."""


_SHOWN = ("sample_id", "image_id", "language", "segment", "position", "token")


class Active(Protocol):
    """What tells in which rows a feature is active: a `FeatureIndex`, or a part of one."""

    def csc(self, feature: int, /) -> tuple[np.ndarray, np.ndarray]:
        """The rows a feature is active in, ascending, and its activations there."""


@dataclass(frozen=True)
class RowsAmong:
    """A feature index that knows the rows of `among` [T] only."""

    index: Active
    among: Bool[np.ndarray, " T"]

    def csc(self, feature: int, /) -> tuple[np.ndarray, np.ndarray]:
        """The rows a feature is active in, ascending, and its activations there."""
        rows, values = self.index.csc(feature)
        kept = self.among[rows]
        return np.asarray(rows)[kept], np.asarray(values)[kept]


def examples(
    index: Active, tokens: TokenRows, feature: int, quantiles: int = 4, contexts: int = 3, window: int = 32
) -> pl.DataFrame:
    """Up to `contexts` rows from each of `quantiles` equal bands of the feature's active rows, strongest band first.

    The strongest band gives its strongest rows, the others rows spread evenly over the band; no image twice in a
    band; special rows left out. Nothing is random. `tokens` are those of all T rows of the index.
    """
    parts = example_rows(index, tokens, feature, quantiles, contexts, window)
    return pl.DataFrame(parts, schema=EXAMPLES, orient="row") if parts else EXAMPLES.to_frame()


def example_rows(
    index: Active, tokens: TokenRows, feature: int, quantiles: int = 4, contexts: int = 3, window: int = 32
) -> list[dict[str, Any]]:
    """The rows of `examples`, for those who need no table."""
    rows, values = index.csc(feature)
    kept = ~tokens.special[rows]
    rows, values = np.asarray(rows[kept]), np.asarray(values[kept])
    order = np.argsort(-values, kind="stable")
    chosen = list(_places(tokens.images(rows)[order], quantiles, contexts))
    places = order[[place for _, _, place in chosen]] if chosen else order[:0]
    own = [dict(zip(_SHOWN, about)) for about in zip(*tokens.columns(rows[places], _SHOWN))]
    around = _contexts(tokens, rows[places], own, (rows, values), window)
    numbers = zip(chosen, rows[places].tolist(), values[places].tolist(), own, around)
    return [
        {"feature": feature, "quantile": quantiles - band, "rank": rank, "row": row, "value": value}
        | {**shown, "context": context}
        for (band, rank, _), row, value, shown, context in numbers
    ]


def _places(images: Int[np.ndarray, " n"], quantiles: int, contexts: int) -> Iterator[tuple[int, int, int]]:
    """Band, rank and place in the descending order of each chosen row."""
    for band in range(quantiles):
        low, high = len(images) * band // quantiles, len(images) * (band + 1) // quantiles
        candidates = low + _first_of_each(images[low:high])
        if band:
            candidates = candidates[_spread(len(candidates), min(contexts, len(candidates)))]
        for rank, place in enumerate(candidates[:contexts].tolist(), start=1):
            yield band, rank, place


def _first_of_each(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """The places where a number stands for the first time, ascending."""
    first = np.full(numbers.max(initial=-1) + 1, -1)
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # of several values for one place the last stays
    return np.sort(first[first >= 0])


def _spread(length: int, count: int) -> list[int]:
    """`count` places from the first to the last of so many, evenly."""
    step = (length - 1) / (count - 1) if count > 1 else 0.0
    return [round(place * step) for place in range(count)]


def _contexts(
    tokens: TokenRows,
    chosen: Int[np.ndarray, " e"],
    own: list[dict[str, Any]],
    active: tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]],
    window: int,
) -> list[list[dict[str, Any]]]:
    """The tokens around each chosen row, with the feature's activation; none around an image row."""
    of, at = _around(tokens, chosen, own, window)
    (words,) = tokens.columns(at, ("token",))
    written = [{"token": token, "value": value} for token, value in zip(words, _values(active, at).tolist())]
    bounds = np.searchsorted(of, np.arange(len(own) + 1)).tolist()
    return [written[start:stop] for start, stop in pairwise(bounds)]


def _around(
    tokens: TokenRows, chosen: Int[np.ndarray, " e"], own: list[dict[str, Any]], window: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """The rows of each chosen row's sequence that are at most half a window away, by position, and of which example
    they are: rows of one sequence lie together, so that the rows next to it are enough."""
    texts = [number for number, about in enumerate(own) if about["segment"] != "image"]
    offsets = np.arange(-window, window + 1)
    of = np.repeat(np.array(texts, np.int64), len(offsets))
    at = (chosen[texts].astype(np.int64)[:, None] + offsets).ravel()
    inside = (at >= 0) & (at < tokens.table.height)
    of, at = of[inside], at[inside]
    position = tokens.position
    near = np.abs(position[at].astype(np.int64) - position[chosen[of]]) <= window // 2
    of, at = of[near], at[near]
    same = tokens.sequences(at) == tokens.sequences(chosen)[of]
    of, at = of[same], at[same]
    order = np.lexsort((at, position[at], of))
    return of[order], at[order]


def _values(
    active: tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]], at: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """The feature's activation in the rows `at`, 0 where it is silent."""
    rows, values = active
    places = np.minimum(np.searchsorted(rows, at), len(rows) - 1)
    return np.where(rows[places] == at, values[places], np.float32(0.0))
