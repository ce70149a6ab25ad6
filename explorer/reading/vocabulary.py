"""The tokens of a layer's rows: what its features can fire on."""

import polars as pl


def vocabulary(tokens: pl.DataFrame) -> pl.DataFrame:
    """One row per token that stands in any row, the most frequent first: token_id, token, `rows` and `samples` it is
    in, and idf = ln((1 + N) / (1 + samples)) + 1 over the N samples."""
    own = tokens.filter(pl.col("token_id").is_not_null())
    counted = own.group_by("token_id", "token").agg(
        pl.len().alias("rows"), pl.col("sample_id").n_unique().alias("samples")
    )
    total = tokens["sample_id"].n_unique()
    idf = ((1 + total) / (1 + pl.col("samples"))).log() + 1
    return counted.with_columns(idf=idf).sort("rows", "token_id", descending=[True, False])
