"""A sample as it is shown, and the features that fire on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from core.reading.study import OpenedStudy
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import NOT_THERE, UNUSABLE, Refusal

_OF_ROW = ("index", "sample_id", "language", "segment", "position", "token", "special")
_ABOUT = ("token", "segment", "position", "language")


def sample_of(study: OpenedStudy, sample_id: str) -> Mapping[str, Any]:
    """The sample of that id: the columns of `core.data.sample_frame.SCHEMA`, and attributes.

    Raises:
        Refusal: the study has no such sample.
    """
    found = study.samples.filter(pl.col("sample_id") == sample_id)
    if not found.height:
        raise Refusal(
            NOT_THERE, f"sample {sample_id[:100]!r}: is none of {study.title}; `top_rows` and activations name some"
        )
    return found.row(0, named=True)


def strongest(shown: ShownLayer, sample: Mapping[str, Any], most: int, segment: str | None = None) -> pl.DataFrame:
    """The `most` features that fire most on a sample's rows, by their largest activation: feature, `max` and the token
    it is on, `sum` and `rows`.

    Raises:
        Refusal: the sample has no rows of this segment.
    """
    rows = shown.indexed.rows_of_image(sample["image_id"])
    near = shown.indexed.tokens[rows, list(_OF_ROW)]
    is_own = (pl.col("sample_id") == sample["sample_id"]) | pl.col("language").is_null()
    own = near.filter(is_own & ~pl.col("special"))
    if segment is not None:
        own = own.filter(pl.col("segment") == segment)
    if not own.height:
        raise Refusal(UNUSABLE, f"segment: the sample has no rows of {segment!r} in this layer; give another or none")
    row, feature, value = shown.indexed.active(own["index"].to_numpy().astype(np.int64))
    shown.count(len(row))
    return by_feature(pl.DataFrame({"index": row, "feature": feature, "value": value}), own, most)


def by_feature(entries: pl.DataFrame, tokens: pl.DataFrame, most: int) -> pl.DataFrame:
    """Entries (index, feature, value) as one row per feature, the `most` largest, each with the token it is on."""
    order = np.argsort(-entries["value"].to_numpy(), kind="stable")
    row, feature, value = (entries[name].to_numpy()[order] for name in ("index", "feature", "value"))
    _, first, of, counts = np.unique(feature, return_index=True, return_inverse=True, return_counts=True)
    ranks, best = np.argsort(first)[:most], np.sort(first)[:most]
    own = tokens["index"].to_numpy()
    ascending = np.argsort(own)
    about = tokens[ascending[np.searchsorted(own, row[best], sorter=ascending)], list(_ABOUT)]
    return pl.DataFrame(
        {
            "feature": feature[best],
            "max": value[best],
            "sum": np.bincount(of, value)[ranks].astype(np.float32),
            "rows": counts[ranks].astype(np.uint32),
            "row": row[best].astype(np.int64),
            **about.to_dict(),
        }
    )
