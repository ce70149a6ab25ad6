"""The tables that a person reads: one row per group with all languages side by side, and the chosen layers."""

from collections.abc import Mapping, Sequence

import polars as pl

from core.stats.written import number


def by_group(rates: pl.DataFrame, shares: pl.DataFrame, languages: Sequence[str]) -> pl.DataFrame:
    """One row per column and group, in the order of the planted rate, or where none is planted of the first language's
    (groups that it does not have come last).

    Returns:
        column, group, planted, and per language as text: rate_… (with its interval), labels_… (share of the data's
        units on the first side, and how many have a label), captions_… (share of units whose generated
        captions tell the first side, and how many have one that tells a side).
    """
    table = rates.select("column", "group", "planted").unique(("column", "group"), maintain_order=True)
    for language in languages:
        own = rates.filter(language=language)
        written = shares.filter(language=language)
        for name, part, words in (("rate", own, _rate), ("labels", own, _labels), ("captions", written, _captions)):
            texts = pl.Series(f"{name}_{language}", [words(row) for row in part.iter_rows(named=True)], dtype=pl.String)
            table = table.join(
                part.select("column", "group").with_columns(texts),
                on=("column", "group"),
                how="left",
                maintain_order="left",
            )
    order = {name: place for place, name in enumerate(table["column"].unique(maintain_order=True))}
    column = pl.col("column").replace_strict(order, default=0, return_dtype=pl.Int64)
    first = rates.filter(language=languages[0]).select("column", "group", pl.col("rate").alias("_first"))
    ranked = table.join(first, on=("column", "group"), how="left", maintain_order="left")
    by = (column, pl.coalesce("planted", "_first"), "group")
    return ranked.sort(*by, nulls_last=True).drop("_first")


def _rate(row: Mapping[str, float]) -> str:
    alone = number(row["rate"], 2)
    return (
        alone if row["rate_low"] is None else f"{alone} [{number(row['rate_low'], 2)}, {number(row['rate_high'], 2)}]"
    )


def _labels(row: Mapping[str, float]) -> str | None:
    return f"{number(row['label_rate'], 2)} of {row['labelled']}" if row["labelled"] else None


def _captions(row: Mapping[str, float]) -> str | None:
    return f"{number(row['share'], 2)} of {row['units']}" if row["units"] else None
