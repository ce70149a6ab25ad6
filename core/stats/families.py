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
