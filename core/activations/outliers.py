"""Rows of a norm far beyond their layer's: found, counted, and marked so that no statistic uses them."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

HEALTH = "health.json"
OUTLIERS = "outliers.parquet"
OUTLIER = "outlier"
"""The column of a layer's tokens that marks them."""
TABLE = pl.Schema(
    {
        "origin": pl.UInt32,
        "sample_id": pl.String,
        "language": pl.String,
        "segment": pl.String,
        "position": pl.UInt32,
        "token": pl.String,
        "norm": pl.Float64,
    }
)
"""One row per outlier, in the layer's order; `origin` is its number in the layer's table."""
MANY = 0.01
"""From this share of the rows on they are no outliers but the layer's way of working (massive activations: Sun et al.
2024, arXiv 2402.17762, find a handful of tokens per sequence)."""
_LARGEST = 5


@dataclass(frozen=True)
class Outliers:
    """The rows of a layer beyond `multiple` times the median norm of its ordinary rows (finite, and not special).

    `limit` is that norm, in the stream's units; null where `multiple` is, or where the median is 0. `rows` counts the
    ordinary rows, outliers among them, `share` is the part of their squared norm that outliers hold, and `median` the
    median norm.
    """

    multiple: float | None
    limit: float | None
    median: float
    rows: int
    share: float
    table: pl.DataFrame

    def counts(self) -> dict[str, int]:
        """Outliers by segment and language: `image`, `caption_en`."""
        kind = pl.concat_str("segment", "language", separator="_", ignore_nulls=True).alias("kind")
        return dict(self.table.group_by(kind).len().sort("kind").iter_rows())

    def named(self) -> list[str]:
        """The largest ones: sample, segment, language, position, token, and how many times the median norm it has."""
        largest = self.table.sort("norm", descending=True, maintain_order=True).head(_LARGEST)
        return [self._name(row) for row in largest.iter_rows(named=True)]

    def _name(self, row: dict[str, Any]) -> str:
        kind = " ".join(filter(None, (row["segment"], row["language"])))
        return f"{row['sample_id']} {kind} {row['position']} {row['token']!r} ({row['norm'] / self.median:.4g} times)"

    def summary(self) -> dict[str, Any]:
        """What `health.json` holds of them."""
        return {
            "max_norm_multiple": self.multiple,
            "limit": self.limit,
            "median_norm": self.median,
            "rows": self.table.height,
            "share_of_rows": self.table.height / self.rows,
            "share_of_squared_norm": self.share,
            "by_kind": self.counts(),
            "largest": self.named(),
        }

    def words(self, layer: int) -> str | None:
        """One line that counts and names them; null where there are none."""
        if not self.table.height:
            return None
        named = "; ".join(self.named()) + (" …" if self.table.height > _LARGEST else "")
        return (
            f"layer {layer}: {self.table.height:,} of {self.rows:,} rows exceed {self.multiple:g} times the median "
            f"norm {self.median:.4g}, hold {self.share:.1%} of the squared norm, and are left out: {named}"
        )

    def warnings(self, layer: int) -> tuple[str, ...]:
        """Where the rule cannot be applied, or marks too many rows."""
        if self.multiple is not None and self.limit is None:
            reason = f"layer {layer}: the median norm is 0 (half of the rows are all zeros)"
            return (f"{reason}, so that capture.max_norm_multiple is not applied",)
        if self.table.height > MANY * self.rows:
            return (
                f"layer {layer}: {self.table.height / self.rows:.1%} of the rows exceed capture.max_norm_multiple "
                f"{self.multiple:g}; so many are the layer's way of working: raise it, or set it to null to keep them",
            )
        return ()


def find_outliers(
    tokens: pl.DataFrame, norms: Float[np.ndarray, " T"], ordinary: Bool[np.ndarray, " T"], multiple: float | None
) -> Outliers:
    """The ordinary rows whose norm exceeds `multiple` times the median of them all; `tokens` has T rows.

    At least half of the ordinary rows are never among them.
    """
    median = float(np.median(norms[ordinary]))
    limit = min(multiple * median, sys.float_info.max) if multiple is not None and median > 0 else None
    beyond = ordinary & (norms > (math.inf if limit is None else limit))
    table = tokens.with_columns(pl.Series("norm", norms)).filter(pl.Series(beyond)).select(list(TABLE)).cast(TABLE)
    squared = np.square(norms[ordinary])
    share = float(np.square(norms[beyond]).sum() / squared.sum()) if beyond.any() else 0.0
    return Outliers(multiple, limit, median, int(ordinary.sum()), share, table)


def mark_outliers(tokens: pl.DataFrame, layer: Path | None) -> pl.DataFrame:
    """The tokens with `outlier`, and outliers special, so that what leaves special rows out leaves them out too.

    `layer` is the folder that `extract_layer` wrote; without outliers there, none is marked.
    """
    known = layer is not None and (layer / OUTLIERS).is_file()
    origins = pl.read_parquet(layer / OUTLIERS, glob=False)["origin"] if layer and known else pl.Series(dtype=pl.UInt32)
    tokens = tokens.with_columns(pl.col("origin").is_in(origins.implode()).alias(OUTLIER))
    return tokens.with_columns(special=pl.col("special") | pl.col(OUTLIER)) if len(origins) else tokens


def is_outlier(tokens: pl.DataFrame) -> pl.Series:
    """Which of the T rows are marked; none in tokens that did not come through `mark_outliers`."""
    known = OUTLIER in tokens.columns
    return tokens[OUTLIER] if known else pl.repeat(False, tokens.height, eager=True).alias(OUTLIER)


def norm_limit(layer: Path | None) -> float:
    """The norm beyond which a row is an outlier, by the folder that `extract_layer` wrote; infinite where none is."""
    path = None if layer is None else layer / HEALTH
    if path is None or not path.is_file():
        return math.inf
    limit = json.loads(path.read_text(encoding="utf-8"))["outliers"]["limit"]
    return math.inf if limit is None else float(limit)
