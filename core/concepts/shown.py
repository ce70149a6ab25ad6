"""What a feature of a scan fires on: held-out sentences token by token, and at which word it begins to fire."""

import numpy as np
import polars as pl

from core.concepts.full_sentences import HELD_OUT, LABELS
from core.concepts.scanned import ScannedSAE

_TOKEN = pl.Struct([pl.Field("token", pl.String), pl.Field("value", pl.Float64)])
EXAMPLES = pl.Schema(
    [
        ("sae", pl.String()),
        ("feature", pl.UInt32()),
        ("label", pl.Int8()),
        ("sentence_id", pl.String()),
        ("max", pl.Float64()),
        ("full", pl.Float64()),
        ("strip", pl.List(_TOKEN)),
    ]
)
"""One row per feature and sentence: the maximum over its fragments, the activation at its end, and that at each
token."""
ONSETS = pl.Schema(
    {
        "sae": pl.String,
        "feature": pl.UInt32,
        "label": pl.Int8,
        "word": pl.UInt32,
        "share": pl.Float64,
        "sentences": pl.UInt32,
    }
)
"""One row per feature, label and word: the share of the label's held-out sentences in which it has fired by that
word."""


def examples(scanned: ScannedSAE, sentences: pl.DataFrame, feature: int, each: int) -> pl.DataFrame:
    """Rows of `EXAMPLES`: of each label the `each` held-out sentences on which the feature fires most strongly, and
    where it fires on fewer, others of the label."""
    held = sentences.filter(pl.col("split") == HELD_OUT).select("sentence_id", "label")
    values = _by_row(scanned, feature)
    rows = scanned.rows.with_columns(pl.Series("value", values))
    by_sentence = rows.group_by("sentence_id", maintain_order=True).agg(
        pl.col("value").max().alias("max"),
        pl.col("value").last().alias("full"),
        pl.struct("token", "value").alias("strip"),
    )
    found = held.join(by_sentence, on="sentence_id", how="inner", maintain_order="left")
    ordered = found.sort("label", "max", descending=[True, True], maintain_order=True)
    chosen = ordered.group_by("label", maintain_order=True).head(each)
    return chosen.with_columns(*_names(scanned, feature)).select(EXAMPLES.names()).cast(EXAMPLES)


def onsets(scanned: ScannedSAE, sentences: pl.DataFrame, feature: int) -> pl.DataFrame:
    """Rows of `ONSETS`, from the first word to that by which half of the label's sentences have ended."""
    held = sentences.filter(pl.col("split") == HELD_OUT).select("sentence_id", "label")
    found = held.join(scanned.onset(feature), on="sentence_id", how="inner", maintain_order="left")
    rows: list[tuple[int, int, float, int]] = []
    for label in LABELS:
        own = found.filter(pl.col("label") == label)
        if own.is_empty():
            continue
        first = own["word"].cast(pl.Float64).fill_null(np.inf).to_numpy()
        median = float(np.median(own["words"].to_numpy()))
        for word in range(1, int(median) + 1):
            rows.append((label, word, float((first <= word).mean()), own.height))
    table = pl.DataFrame(rows, schema=["label", "word", "share", "sentences"], orient="row")
    return table.with_columns(*_names(scanned, feature)).select(ONSETS.names()).cast(ONSETS)


def _by_row(scanned: ScannedSAE, feature: int) -> np.ndarray:
    values = np.zeros(scanned.rows.height)
    active, strengths = scanned.activations(feature)
    values[np.asarray(active, dtype=np.int64)] = np.asarray(strengths, dtype=np.float64)
    return values


def _names(scanned: ScannedSAE, feature: int) -> tuple[pl.Expr, pl.Expr]:
    return pl.lit(scanned.card.key).alias("sae"), pl.lit(feature).alias("feature")
