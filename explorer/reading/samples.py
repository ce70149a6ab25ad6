"""A sample as it is shown, and the features that fire on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.reading.study import OpenedStudy
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import NOT_THERE, UNUSABLE, Refusal

_OF_ROW = ("sample_id", "language", "segment", "special")
_ABOUT = ("token", "segment", "position", "language")


def sample_of(study: OpenedStudy, sample_id: str) -> Mapping[str, Any]:
    """The sample of that id: the columns of `core.data.sample_frame.SCHEMA`, and attributes.

    Raises:
        Refusal: the study has no such sample.
    """
    is_it = study.samples["sample_id"] == sample_id
    if not is_it.any():
        raise Refusal(
            NOT_THERE, f"sample {sample_id[:100]!r}: is none of {study.title}; `top_rows` and activations name some"
        )
    return study.samples.row(is_it.arg_max(), named=True)


def strongest(
    shown: ShownLayer, sample: Mapping[str, Any], most: int, segment: str | None = None
) -> list[dict[str, Any]]:
    """The `most` features that fire most on a sample's rows, by their largest activation: feature, `max` and the token
    it is on, `sum` and `rows`.

    Raises:
        Refusal: the sample has no rows of this segment.
    """
    tokens = shown.indexed.token_rows
    rows = tokens.of_image(sample["image_id"])
    columns = zip(*tokens.columns(rows, _OF_ROW))
    own = rows[[_is_own(sample["sample_id"], segment, *about) for about in columns]] if len(rows) else rows
    if not len(own):
        raise Refusal(UNUSABLE, f"segment: the sample has no rows of {segment!r} in this layer; give another or none")
    entries = shown.indexed.active(own)
    shown.count(len(entries[0]))
    ranked = _ranked(*entries, most)
    found = [*(column.tolist() for column in ranked.values()), *tokens.columns(ranked["row"], _ABOUT)]
    return [dict(zip((*ranked, *_ABOUT), feature)) for feature in zip(*found)]


def _is_own(
    sample_id: str, asked: str | None, id_of_row: str, language: str | None, segment: str, special: bool
) -> bool:
    """Whether a row of an image is the sample's, ordinary, and of the segment that is asked for."""
    return (id_of_row == sample_id or language is None) and not special and asked in (None, segment)


def by_feature(entries: pl.DataFrame, tokens: pl.DataFrame, most: int) -> pl.DataFrame:
    """Entries (index, feature, value) as one row per feature, the `most` largest, each with the token it is on."""
    row, feature, value = (entries[name].to_numpy() for name in ("index", "feature", "value"))
    ranked = _ranked(row, feature, value, most)
    own = tokens["index"].to_numpy()
    ascending = np.argsort(own)
    places = pl.Series(ascending[np.searchsorted(own, ranked["row"], sorter=ascending)], dtype=pl.UInt32)
    return pl.DataFrame({**ranked, **{name: tokens[name][places] for name in _ABOUT}})


def _ranked(
    row: Int[np.ndarray, " nnz"], feature: Int[np.ndarray, " nnz"], value: Float[np.ndarray, " nnz"], most: int
) -> dict[str, np.ndarray]:
    """The `most` features of largest activation: `max` and the row it is in, `sum` and the number of `rows`."""
    order = np.argsort(-value, kind="stable")
    ranked, width = feature[order], int(feature.max(initial=0)) + 1
    first = np.full(width, len(ranked))
    first[ranked[::-1]] = np.arange(len(ranked) - 1, -1, -1)  # of several values for one place the last stays
    best = order[np.sort(first[first < len(ranked)])[:most]]
    found = feature[best]
    return {
        "feature": found,
        "max": value[best],
        "sum": np.bincount(ranked, value[order], width)[found].astype(np.float32),
        "rows": np.bincount(ranked, minlength=width)[found].astype(np.uint32),
        "row": row[best].astype(np.int64),
    }
