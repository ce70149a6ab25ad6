"""How rare each token is among samples: the inverse document frequency that tokens of examples are weighted by."""

import numpy as np
import polars as pl

TOKEN_IDF = pl.Schema(
    {"token_id": pl.UInt32, "token": pl.String, "rows": pl.UInt32, "samples": pl.UInt32, "idf": pl.Float64}
)
"""One row per token, by its number: `rows` it stands in, `samples` it occurs in at all, and `idf` = ln((1 + N) / (1 +
samples)) + 1 over N samples; `token` null where only numbers are known."""


def caption_idf(tokens: pl.DataFrame) -> pl.DataFrame:
    """The tokens of captions in a layer's table, special rows left out: `TOKEN_IDF`."""
    counted = tokens.filter((pl.col("segment") == "caption") & ~pl.col("special"))
    return _idf(counted.select("token_id", "token", sample="sample_id"))


def row_idf(rows: pl.DataFrame) -> pl.DataFrame | None:
    """The tokens of a store whose rows are samples: the numbers in the first column of lists called `…tokens`, else in
    the column `token_id`; null where there is neither."""
    named = (name for name, kind in rows.schema.items() if name.endswith("tokens") and _is_numbers(kind))
    column = next(named, "token_id" if rows.schema.get("token_id", pl.String()).is_integer() else None)
    if column is None:
        return None
    numbered = rows.select(token_id=pl.col(column)).with_row_index("sample")
    if column != "token_id":
        numbered = numbered.explode("token_id")
    return _idf(numbered.drop_nulls().with_columns(token=pl.lit(None, pl.String)), rows.height)


def _is_numbers(kind: pl.DataType) -> bool:
    inner = getattr(kind, "inner", None)
    return inner is not None and inner.is_integer()


def _idf(tokens: pl.DataFrame, samples: int | None = None) -> pl.DataFrame:
    total = tokens["sample"].n_unique() if samples is None else samples
    counted = tokens.group_by("token_id").agg(
        pl.col("token").first(), pl.len().alias("rows"), pl.col("sample").n_unique().alias("samples")
    )
    idf = np.log((1 + total) / (1 + counted["samples"].to_numpy())) + 1
    return counted.with_columns(pl.Series("idf", idf)).sort("token_id").select(TOKEN_IDF.names()).cast(TOKEN_IDF)
