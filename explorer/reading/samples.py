"""A sample as it is shown, and the features that fire on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from core.reading.study import OpenedStudy
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import NOT_THERE, UNUSABLE, Refusal


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


def strongest(shown: ShownLayer, sample: Mapping[str, Any], segment: str | None = None) -> pl.DataFrame:
    """The features that fire on a sample's rows, by their largest activation: feature, `max` and the token it is on,
    `sum` and `rows`.

    Raises:
        Refusal: the sample has no rows of this segment.
    """
    tokens = shown.indexed.tokens
    shared = pl.col("language").is_null() & (pl.col("image_id") == sample["image_id"])
    own = tokens.filter(((pl.col("sample_id") == sample["sample_id"]) | shared) & ~pl.col("special"))
    if segment is not None:
        own = own.filter(pl.col("segment") == segment)
    if not own.height:
        raise Refusal(UNUSABLE, f"segment: the sample has no rows of {segment!r} in this layer; give another or none")
    row, feature, value = shown.indexed.active(own["index"].to_numpy().astype(np.int64))
    shown.count(len(row))
    return by_feature(pl.DataFrame({"index": row, "feature": feature, "value": value}), own)


def by_feature(entries: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    """Entries (index, feature, value) as one row per feature, the largest first, each with the token it is on."""
    about = tokens.select(pl.col("index").cast(pl.Int64), "token", "segment", "position", "language")
    best = entries.sort("value", descending=True, maintain_order=True).group_by("feature", maintain_order=True)
    summed = best.agg(
        pl.col("value").first().alias("max"),
        pl.col("value").sum().alias("sum"),
        pl.len().alias("rows"),
        pl.col("index").first().cast(pl.Int64),
    )
    return summed.join(about, on="index", how="left", maintain_order="left").rename({"index": "row"})
