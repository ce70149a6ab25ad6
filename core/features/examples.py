"""Where a feature fires, as a reader sees it: rows of each strength with the tokens around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

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


_OF_SEQUENCE = ("sample_id", "language", "segment")
_OF_CONTEXT = ("position", "token", *_OF_SEQUENCE)


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
    index: Active, tokens: pl.DataFrame, feature: int, quantiles: int = 4, contexts: int = 3, window: int = 32
) -> pl.DataFrame:
    """Up to `contexts` rows from each of `quantiles` equal bands of the feature's active rows, strongest band first.

    The strongest band gives its strongest rows, the others rows spread evenly over the band; no image twice in a
    band; special rows left out. Nothing is random. `tokens` are those of all T rows of the index.
    """
    rows, values = index.csc(feature)
    kept = ~tokens["special"].gather(rows).to_numpy()
    rows, values = np.asarray(rows[kept]), np.asarray(values[kept])
    order = np.lexsort((rows, -values))
    images = tokens["image_id"].gather(rows[order]).to_list()
    parts = [
        _example(tokens, (feature, quantiles - band, rank), (rows, values), int(order[place]), window)
        for band, rank, place in _places(images, quantiles, contexts)
    ]
    return pl.DataFrame(parts, schema=EXAMPLES, orient="row") if parts else EXAMPLES.to_frame()


def _places(images: list[str], quantiles: int, contexts: int) -> Iterator[tuple[int, int, int]]:
    """Band, rank and place in the descending order of each chosen row."""
    for band in range(quantiles):
        low, high = len(images) * band // quantiles, len(images) * (band + 1) // quantiles
        first_of_image = list({images[place]: place for place in reversed(range(low, high))}.values())
        candidates = sorted(first_of_image)
        if band:
            spread = np.linspace(0, len(candidates) - 1, min(contexts, len(candidates))).round().astype(int)
            candidates = [candidates[place] for place in spread]
        for rank, place in enumerate(candidates[:contexts], start=1):
            yield band, rank, place


def _example(
    tokens: pl.DataFrame,
    label: tuple[int, int, int],
    active: tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]],
    place: int,
    window: int,
) -> dict[str, Any]:
    rows, values = active
    row = int(rows[place])
    own = tokens.row(row, named=True)
    feature, quantile, rank = label
    return {
        "feature": feature,
        "quantile": quantile,
        "rank": rank,
        "row": row,
        "value": float(values[place]),
        **{name: own[name] for name in ("sample_id", "image_id", "language", "segment", "position", "token")},
        "context": [] if own["segment"] == "image" else _context(tokens, row, own, active, window),
    }


def _context(
    tokens: pl.DataFrame,
    row: int,
    own: dict[str, Any],
    active: tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]],
    window: int,
) -> list[dict[str, Any]]:
    """Rows of one sequence lie together, so a slice of the table around the row is enough; read by column, for a query
    per example takes a hundred times as long as what it does."""
    start, half = max(0, row - window), window // 2
    near = zip(*(tokens.get_column(name)[start : start + 2 * window + 1].to_list() for name in _OF_CONTEXT))
    sequence = tuple(own[name] for name in _OF_SEQUENCE)
    same = sorted(
        (position, at, token)
        for at, (position, token, *of) in enumerate(near, start)
        if tuple(of) == sequence and abs(position - own["position"]) <= half
    )
    rows, values = active
    at = np.array([place for _, place, _ in same])
    places = np.minimum(np.searchsorted(rows, at), len(rows) - 1)
    found = np.where(rows[places] == at, values[places], 0.0)
    return [{"token": token, "value": float(value)} for (_, _, token), value in zip(same, found)]
