"""The tokens of a layer's rows over all shards: what each row is of, read without activations and without PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.activations.outliers import mark_outliers
from core.errors import BadInput

FILE = "tokens.parquet"
SUMMARY = "shard.json"
"""What makes a folder per shard; written last."""
KEEP = "keep.parquet"


def captured_tokens(shards: Sequence[Path]) -> pl.DataFrame:
    """The tokens of all rows that the shards' folders hold, in one order for every layer: shards as given, in each
    shared, English, Arabic.

    Returns:
        The columns of `core.activations.rows.TOKENS` with `shard`, and `origin` before them, the row's number.

    Raises:
        BadInput: a shard is not finished.
    """
    frames: list[pl.DataFrame] = []
    for number, shard in enumerate(shards):
        if not (shard / SUMMARY).is_file():
            raise BadInput(f"{shard.name}: is no finished shard ({SUMMARY} is missing)")
        tokens = pl.read_parquet(shard / FILE, glob=False)
        frames.append(tokens.with_columns(pl.lit(number, pl.UInt32).alias("shard")))
    return pl.concat(frames).with_row_index("origin")


def layer_tokens(captured: pl.DataFrame, keep: Path | None = None) -> pl.DataFrame:
    """The tokens of one layer's rows, T of what was captured; `keep` is the folder that `extract_layer` wrote for it.

    Without a `keep.parquet` there, all rows are kept; without outliers there, none is marked.

    Returns:
        `index` (0 … T-1), the columns of `captured_tokens`, and `outlier`: outliers are special rows too.
    """
    kept = _kept_rows(keep)
    return mark_outliers(captured if kept is None else captured[kept], keep).with_row_index("index")


def _kept_rows(keep: Path | None) -> pl.Series | None:
    path = None if keep is None else keep / KEEP
    return pl.read_parquet(path, glob=False)["origin"] if path is not None and path.is_file() else None
