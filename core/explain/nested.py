"""List columns out of flat arrays, without a Python object per row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int, Num


def list_column(
    values: "Num[np.ndarray, ' n'] | pl.Series | Mapping[str, Num[np.ndarray, ' n']]",
    lengths: Int[np.ndarray, " rows"],
    dtype: Any,
) -> pl.Series:
    """A column of lists of the given lengths; a mapping gives lists of structs."""
    if isinstance(values, Mapping):
        parts = [pa.array(part) for part in values.values()]
        flat = pa.StructArray.from_arrays(parts, names=list(values))
    else:
        flat = (
            values.to_arrow(compat_level=pl.CompatLevel.oldest()) if isinstance(values, pl.Series) else pa.array(values)
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    column = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(offsets), flat))
    assert isinstance(column, pl.Series)
    return column.cast(dtype)


def slices(lists: pl.Series, low: Int[np.ndarray, " rows"], high: Int[np.ndarray, " rows"]) -> pl.Series:
    """The elements from `low` to `high` (exclusive) of each list."""
    frame = pl.DataFrame({"all": lists, "low": low, "length": high - low})
    return frame.select(pl.col("all").list.slice("low", "length")).to_series()
