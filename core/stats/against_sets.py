"""Whether a chosen set stands out among random sets, on images that are a sample themselves."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import stats

_EXACT = 12
"""Up to so many units all their signs are enumerated."""


class AgainstSets(NamedTuple):
    """Means of the random sets over images (their mean and central 95 %), how many sets, and the two-sided p."""

    mean: float
    low: float
    high: float
    draws: int
    p: float


def against_sets(
    own: Float[np.ndarray, " n"],
    drawn: Float[np.ndarray, "K n"],
    flips: int,
    seed: int,
    units: Int[np.ndarray, " n"] | None = None,
) -> AgainstSets:
    """Compare a chosen set's effects with K random sets' on the same images.

    p is the larger of two two-sided p-values, so that a small one speaks against both explanations: `rank_p`, in which
    images stay and sets vary, and `sign_p` of the image's difference to the mean random set, in which images vary.

    Args:
        own: effect of the chosen set, by image.
        drawn: effects of the random sets.
        flips: random signs where there are more than 12 units.
        seed: of the random signs.
        units: what each image belongs to (an image and its twin are one unit). Null: each is a unit.
    """
    if not len(drawn) or not own.size:
        return AgainstSets(math.nan, math.nan, math.nan, len(drawn), math.nan)
    means = drawn.mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    p = max(rank_p(float(own.mean()), means), sign_p(own - drawn.mean(axis=0), flips, seed, units))
    return AgainstSets(float(means.mean()), float(low), float(high), len(means), p)


def rank_p(own: float, drawn: Float[np.ndarray, " K"]) -> float:
    """Two-sided: the share of all K + 1 sets, the chosen one among them, that lie as far from their mean as it.

    Exact where the chosen set is one of them by chance; never below 1 / (K + 1).
    """
    every = np.append(drawn, own)
    distance = np.abs(every - every.mean())
    return float(np.mean(distance >= distance[-1] - 1e-12 * (1 + distance[-1])))


def sign_p(values: Float[np.ndarray, " n"], flips: int, seed: int, units: Int[np.ndarray, " n"] | None = None) -> float:
    """Two-sided sign-flip test of a mean of 0: how often random signs of the units give a sum as large.

    Exact for up to 12 units, whose p is never below 2 / 2^units; else (1 + count) / (1 + flips).
    """
    codes = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1]
    totals = np.bincount(codes, weights=values)
    observed = abs(totals.sum()) - 1e-12 * (1 + np.abs(totals).sum())
    if totals.size <= _EXACT:
        numbers = np.arange(2**totals.size)[:, None]
        signs = 1 - 2 * ((numbers >> np.arange(totals.size)) & 1)
        return float(np.mean(np.abs(signs @ totals) >= observed))
    signs = np.random.default_rng(seed).choice([-1, 1], size=(flips, totals.size))
    return float((1 + np.count_nonzero(np.abs(signs @ totals) >= observed)) / (1 + flips))


def with_q(table: pl.DataFrame, family: pl.Expr) -> pl.DataFrame:
    """The table with `q`: its p corrected (Benjamini & Hochberg 1995) among the rows that share a value of `family`.

    Rows without p belong to none and have no q.
    """
    numbered = table.with_columns(pl.lit(None, pl.Float64).alias("q")).with_row_index("_row")
    tested = numbered.filter(pl.col("p").is_not_null()).with_columns(family.alias("_family"))
    found = [
        pl.DataFrame({"_row": part["_row"], "_q": stats.false_discovery_control(part["p"].to_numpy())})
        for part in tested.partition_by("_family", maintain_order=True)
    ]
    if not found:
        return numbered.drop("_row")
    joined = numbered.join(pl.concat(found), on="_row", how="left", maintain_order="left")
    return joined.with_columns(pl.col("_q").alias("q")).drop("_row", "_q")
