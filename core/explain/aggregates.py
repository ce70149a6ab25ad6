"""How well explanations do over features: per explainer and scorer, beside the same for the frozen dictionary."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.explain.metrics import ALL, CHANCE
from core.explain.named import FROZEN
from core.stats.intervals import Z95, Interval, resamples
from core.stats.permuted import rank_p

_SMOOTH = 5000
"""Of more features than that the interval of a mean is normal: resamples would not fit into memory."""
_FLOATS = ("mean", "sd", "p05", "p25", "median", "p75", "p95", "low", "high")
_DIFFERENCE = ("frozen_mean", "frozen_low", "frozen_high", "difference", "difference_low", "difference_high", "p")
_KEYS = ("explainer", "scorer", "example_kind", "language", "metric")
AGGREGATES = pl.Schema(
    {
        "sae_id": pl.String(),
        **dict.fromkeys(_KEYS, pl.String()),
        "chance": pl.Float64(),
        "n": pl.UInt32(),
        **dict.fromkeys(_FLOATS, pl.Float64()),
        "n_judged": pl.UInt64(),
        "n_failed": pl.UInt64(),
        "frozen_n": pl.UInt32(),
        **dict.fromkeys(_DIFFERENCE, pl.Float64()),
        "draws": pl.UInt32(),
    }
)
"""One row per SAE (`all`: all trained ones together) × explainer × scorer × kind of example × language of examples.
`chance` is null of a metric that older pipelines kept. `mean` to `high` are over the `n` features with a score, with
the interval over features; `n_judged` and `n_failed` count examples. `frozen_…`: the same for features of the frozen
dictionary, and the `difference` of the means with its interval over both; null where no frozen dictionary was scored.
`p`: two-sided, scores exchanged at random between the two dictionaries, in rows over every kind and language of
examples."""


def aggregates(scores: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """The scores over features: `AGGREGATES`.

    Args:
        scores: `SCORES` of trained and of frozen dictionaries.
        draws: resamples behind each interval, and exchanges behind p.
        seed: of both.
    """
    names = ["sae_id", *_KEYS]
    told = scores.with_columns(pl.col(names).cast(pl.String))
    frozen = told.filter(pl.col("sae_id").str.ends_with(FROZEN)).with_columns(pl.col("sae_id").str.strip_suffix(FROZEN))
    trained = told.filter(~pl.col("sae_id").str.ends_with(FROZEN))
    every = [pl.concat([part, part.with_columns(sae_id=pl.lit(ALL))]) for part in (trained, frozen)]
    floor = dict(every[1].group_by(names))
    rows = [
        {**dict(zip(names, key, strict=True)), **_row(part, floor.get(key), draws, seed)}
        for key, part in every[0].group_by(names, maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=AGGREGATES)


def _row(part: pl.DataFrame, floor: pl.DataFrame | None, draws: int, seed: int) -> dict[str, Any]:
    values = _values(part)
    found: dict[str, Any] = {"chance": CHANCE.get(part["metric"][0]), "n": values.size, **_described(values)}
    found |= {"n_judged": int(part["n"].sum()), "n_failed": int(part["n_failed"].sum()), "draws": draws}
    mean = mean_interval(values, draws, seed)
    found |= {"low": mean.low, "high": mean.high}
    if floor is not None and (lowest := _values(floor)).size and values.size:
        whole = part["example_kind"][0] == ALL and part["language"][0] == ALL
        found |= dict(_beside(values, lowest, draws, seed, exchange=whole))
    return {name: None if isinstance(one, float) and not math.isfinite(one) else one for name, one in found.items()}


def _values(part: pl.DataFrame) -> Float[np.ndarray, " n"]:
    return part["value"].drop_nulls().drop_nans().to_numpy()


def _described(values: Float[np.ndarray, " n"]) -> dict[str, float]:
    if not values.size:
        return {}
    shares = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return dict(zip(_FLOATS[:7], (float(values.mean()), spread, *map(float, shares)), strict=True))


def mean_interval(values: Float[np.ndarray, " n"], draws: int, seed: int) -> Interval:
    """The mean over features with its percentile bootstrap, normal beyond 5,000 features; one feature has none."""
    if values.size < 2:
        return Interval(math.nan, float(values.mean()) if values.size else math.nan, math.nan)
    mean = float(values.mean())
    if values.size > _SMOOTH:
        half = Z95 * _error(values)
        return Interval(mean - half, mean, mean + half)
    low, high = np.quantile(_means(values, draws, seed), [0.025, 0.975])
    return Interval(float(low), mean, float(high))


def difference_interval(
    one: Float[np.ndarray, " n"], other: Float[np.ndarray, " m"], draws: int, seed: int
) -> Interval:
    """The difference of two means over different features, both resampled; normal beyond 5,000 features."""
    gap = float(one.mean() - other.mean())
    if min(one.size, other.size) < 2:
        return Interval(math.nan, gap, math.nan)
    if max(one.size, other.size) > _SMOOTH:
        half = Z95 * math.hypot(_error(one), _error(other))
        return Interval(gap - half, gap, gap + half)
    drawn = _means(one, draws, seed) - _means(other, draws, seed + 1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), gap, float(high))


def _beside(
    values: Float[np.ndarray, " n"], floor: Float[np.ndarray, " m"], draws: int, seed: int, *, exchange: bool
) -> Iterator[tuple[str, float]]:
    lowest, gap = mean_interval(floor, draws, seed), difference_interval(values, floor, draws, seed)
    yield from {"frozen_n": floor.size, "frozen_mean": lowest.mean}.items()
    yield from {"frozen_low": lowest.low, "frozen_high": lowest.high}.items()
    yield from {"difference": gap.mean, "difference_low": gap.low, "difference_high": gap.high}.items()
    if exchange:
        yield "p", _exchange_p(values, floor, draws, seed)


def _exchange_p(values: Float[np.ndarray, " n"], floor: Float[np.ndarray, " m"], draws: int, seed: int) -> float:
    together, rng = np.concatenate([values, floor]), np.random.default_rng(seed)
    total, n, m = float(together.sum()), values.size, floor.size
    sums = np.array([float(rng.permutation(together)[:n].sum()) for _ in range(draws)])
    return rank_p(float(values.mean() - floor.mean()), sums / n - (total - sums) / m)


def _means(values: Float[np.ndarray, " n"], draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    return np.asarray(resamples(values.size, draws, seed) @ values / values.size)


def _error(values: Float[np.ndarray, " n"]) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size))
