"""Families of tests that are corrected together: the false discovery rate of Benjamini & Hochberg (1995)."""

import numpy as np
import polars as pl
from jaxtyping import Float

ALPHA = 0.05
"""False discovery rate that is called a discovery."""


def corrected(family: pl.DataFrame) -> pl.DataFrame:
    """The tests of one family with q beside their p."""
    from scipy import stats  # half a second of imports, which estimates of a finished study do not need

    q = stats.false_discovery_control(family["p"].to_numpy()) if family.height else np.zeros(0)
    return family.with_columns(pl.Series("q", q, dtype=pl.Float64))


def corrected_within(table: pl.DataFrame, family: pl.Expr) -> pl.DataFrame:
    """The table with `q`: its p corrected among the rows that share a value of `family`.

    Rows without p belong to none and have no q.
    """
    numbered = table.with_columns(pl.lit(None, pl.Float64).alias("q")).with_row_index("_row")
    tested = numbered.filter(pl.col("p").is_not_null()).with_columns(family.alias("_family"))
    parts = [corrected(part) for part in tested.partition_by("_family", maintain_order=True)]
    found = pl.concat(parts) if parts else tested
    joined = numbered.drop("q").join(found.select("_row", "q"), on="_row", how="left", maintain_order="left")
    return joined.select(*dict.fromkeys([*table.columns, "q"]))


def threshold(small: Float[np.ndarray, " m"], tests: int) -> float:
    """The largest p that Benjamini & Hochberg (1995) reject at 5 % among `tests` p-values; −1 where they reject none.

    `small` are those of the p-values that are at most 0.05.
    """
    ordered = np.sort(small)
    passing = np.flatnonzero(ordered <= ALPHA * np.arange(1, ordered.size + 1) / max(tests, 1))
    return float(ordered[passing[-1]]) if passing.size else -1.0


def discoveries(small: Float[np.ndarray, " m"], tests: int) -> int:
    """Rejections of Benjamini & Hochberg (1995) at 5 % among `tests` p-values, of which `small` are those ≤ 0.05."""
    return int((small <= threshold(small, tests)).sum())
