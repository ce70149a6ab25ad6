"""Rates by group: of the word that is asked for, of the data's labels, and how far groups differ in them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.bias import Config
from core.analysis.bias.hidden import ONE_GROUP, Hidden
from core.stats.families import corrected_within
from core.stats.group_means import (
    LEAST_GROUPS,
    Agreement,
    GroupMeans,
    agreement,
    columns_of,
    explained,
    groups_alone,
    mean_error,
    mean_over_groups,
    too_few,
    weighted_spearman,
)
from core.stats.intervals import bootstrap_mean, wilson

_ENDS = ("", "_low", "_high")
RATES = pl.Schema(
    {
        **dict.fromkeys(("column", "group", "language"), pl.String),
        **dict.fromkeys(("images", "units"), pl.UInt32),
        **dict.fromkeys((f"{name}{end}" for name in ("rate", "neutral") for end in _ENDS), pl.Float64),
        "likely": pl.Float64,
        "labelled": pl.UInt32,
        **dict.fromkeys((f"label_rate{end}" for end in _ENDS), pl.Float64),
        "planted": pl.Float64,
    }
)
"""One row per column, group and language: P(first side) and P(neutral) with intervals over units; `likely`, the
probability of any of the words asked for; the share of `labelled` units of the data on the first side (Wilson); and
what was planted."""
OVERALL = pl.Schema([(name, kind) for name, kind in RATES.items() if name not in ("group", "planted")])
"""One row per language, over all images that are asked: intervals draw groups of `column`, then units within each;
units alone where it is empty, as with fewer than `LEAST_GROUPS` groups."""
_TESTED = {
    **dict.fromkeys(("value", "low", "high", "permuted", "permuted_low", "permuted_high"), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("p", "q"), pl.Float64),
}
OVER_GROUPS = pl.Schema(
    {
        **dict.fromkeys(("measure", "column", "language"), pl.String),
        **dict.fromkeys(("groups", "units"), pl.UInt32),
        **_TESTED,
    }
)
"""One row per measure, column and language; `permuted` is what the measure is by chance (`MEASURES` says of what)."""
SPREAD, AMPLIFIED = "adjusted eta squared of P by group", "amplification of the labels' lean"
RHO, ERROR = "Spearman's rho with the planted rates", "mean absolute error from the planted rates"


def rate_table(hidden: Hidden, config: Config) -> pl.DataFrame:
    """`RATES`."""
    rows = [
        _row(hidden, config, (column, language), part)
        for column in hidden.columns
        for language in hidden.inputs.languages
        for part in _by_group(cells_of(hidden, column, language))
    ]
    return pl.DataFrame(rows, schema=RATES)


def overall_table(hidden: Hidden, config: Config) -> pl.DataFrame:
    """`OVERALL`."""
    column, rows = (*hidden.columns, ONE_GROUP)[0], []
    for language in hidden.inputs.languages:
        cells = cells_of(hidden, column, language)
        asked = cells.drop_nulls("rate")
        if asked.height:
            row, groups = _row(hidden, config, (column, language), cells), _means(asked, ("rate", "neutral"))
            row["column"] = ONE_GROUP if too_few(groups, 0) else column
            for number, name in enumerate(("rate", "neutral")):
                row |= _ends(name, mean_over_groups(groups, number, config.bootstrap, hidden.inputs.seed))
            rows.append({name: row[name] for name in OVERALL})
    return pl.DataFrame(rows, schema=OVERALL)


def cells_of(hidden: Hidden, column: str, language: str) -> pl.DataFrame:
    """group, unit, images, rate, neutral, likely and label (null where not known): one row per group and unit."""
    own = hidden.asked.filter(pl.col("language") == language)
    likely = pl.col("log_first").exp() + pl.col("log_other").exp() + pl.col("log_neutral").exp()
    asked = own.group_by("image_id").agg(pl.col("rate", "neutral").mean(), likely.mean().alias("likely"))
    labels = hidden.labels.filter(pl.col("language") == language).select("image_id", "label")
    group = pl.col(column) if column else pl.col("unit").cast(pl.String)
    known = hidden.groups.select("image_id", "unit", group.alias("group")).drop_nulls("group")
    joined = known.join(asked, on="image_id", how="left").join(labels, on="image_id", how="left")
    measured = joined.filter(pl.col("rate").is_not_null() | pl.col("label").is_not_null())
    return (
        measured.group_by("group", "unit")
        .agg(pl.col("rate").count().alias("images"), pl.col("rate", "neutral", "likely", "label").mean())
        .sort("group", "unit")
    )


def _by_group(cells: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for part in cells.partition_by("group", maintain_order=True):
        if part["rate"].count():
            yield part


def _row(hidden: Hidden, config: Config, place: tuple[str, str], cells: pl.DataFrame) -> dict[str, Any]:
    column, language = place
    asked, labels = cells.drop_nulls("rate"), cells["label"].drop_nulls()
    planted = hidden.planted
    row: dict[str, Any] = {"column": column, "group": cells["group"][0], "language": language}
    row |= {"images": int(asked["images"].sum()), "units": asked.height, "likely": asked["likely"].mean()}
    for name in ("rate", "neutral"):
        row |= _ends(name, bootstrap_mean(asked[name].to_numpy(), config.bootstrap, hidden.inputs.seed))
    known = planted is not None and planted.column == column
    row["planted"] = planted.rates.get(row["group"]) if planted is not None and known else None
    return row | {"labelled": len(labels), **_ends("label_rate", wilson(float(labels.sum()), len(labels)))}


def _ends(name: str, interval: Any) -> dict[str, float | None]:
    values = (interval.mean, interval.low, interval.high)
    return {f"{name}{end}": value if np.isfinite(value) else None for end, value in zip(_ENDS, values, strict=True)}


def _means(cells: pl.DataFrame, columns: tuple[str, ...]) -> GroupMeans:
    values = cells.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    return GroupMeans.of(values, cells["group"].to_list(), cells["unit"].to_numpy())


def over_groups(hidden: Hidden, config: Config) -> pl.DataFrame:
    """`OVER_GROUPS`, q over the rows of a measure."""
    rows = [row for column in hidden.columns for row in _measures(hidden, config, column)]
    return corrected_within(pl.DataFrame(rows, schema=OVER_GROUPS), pl.col("measure"))


def _measures(hidden: Hidden, config: Config, column: str) -> Iterator[Mapping[str, Any]]:
    for language in hidden.inputs.languages:
        cells = cells_of(hidden, column, language)
        asked = cells.drop_nulls("rate")
        counts = {"groups": asked["group"].n_unique(), "units": asked.height}
        for measure, found in _found(hidden, config, column, cells):
            if found is not None:
                yield {
                    "measure": measure,
                    "column": column,
                    "language": language,
                    **counts,
                    **columns_of(found, measure == SPREAD),
                }


def _found(hidden: Hidden, config: Config, column: str, cells: pl.DataFrame) -> Iterator[tuple[str, Agreement | None]]:
    draws, seed, asked = (config.bootstrap, config.permutations), hidden.inputs.seed, cells.drop_nulls("rate")
    if asked.is_empty():
        return
    yield SPREAD, explained(_means(asked, ("rate",)), 0, config.permutations, seed)
    yield AMPLIFIED, amplification(_means(cells, ("rate", "label")), draws, seed)
    planted = hidden.planted
    if planted is not None and planted.column == column:
        rates = asked["group"].replace_strict(dict(planted.rates), default=None, return_dtype=pl.Float64)
        groups = _means(asked.with_columns(rates.alias("planted")), ("rate", "planted"))
        yield RHO, agreement(groups, (0, 1), weighted_spearman, draws, seed)
        yield ERROR, agreement(groups, (0, 1), mean_error, draws, seed)


def amplification(groups: GroupMeans, draws: tuple[int, int], seed: int) -> Agreement | None:
    """How far the rate lies beyond the label rate, on the side that the labels lean to: the mean over groups of
    sign(label − ½) · (rate − label), less what it is where labels are drawn at each group's rate.

    A label rate of few images lies beside the true one, and the farther ones lie back toward the middle: without any
    amplification the mean is below 0, by as much as the redrawn labels say. The interval draws groups alone: images
    drawn twice within a group would make label rates of few images noisier still.

    Args:
        groups: values [n, 2], the rate and the label, either NaN where not known.
        draws: resamples, and redraws of the labels.
        seed: of both.

    Returns:
        Null with fewer than `LEAST_GROUPS` groups that have both and whose labels lean.
    """
    rate, label = groups.means[None, :, 0], groups.means[None, :, 1]
    if (np.isfinite(rate) & np.isfinite(label) & (label != 0.5)).sum() < LEAST_GROUPS:
        return None
    redrawn = _redrawn(groups, draws[1], seed)
    null = _lean(np.broadcast_to(rate, redrawn.shape), redrawn, np.ones(redrawn.shape))
    null, value = null[np.isfinite(null)], float(_lean(rate, label, np.ones((1, groups.count)))[0])
    times = groups_alone(groups.count, draws[0], seed)
    drawn = _lean(np.broadcast_to(rate, times.shape), np.broadcast_to(label, times.shape), times) - null.mean()
    return Agreement.of(value - float(null.mean()), drawn, null - null.mean())


def _lean(rate: Float[np.ndarray, "d G"], label: Float[np.ndarray, "d G"], times: np.ndarray) -> np.ndarray:
    weight = np.where(np.isfinite(rate) & np.isfinite(label) & (label != 0.5), times, 0)
    lean = np.sign(np.nan_to_num(label) - 0.5) * (np.nan_to_num(rate) - np.nan_to_num(label))
    whole = weight.sum(axis=1)
    found = np.divide((weight * lean).sum(axis=1), whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return np.asarray(found)


def _redrawn(groups: GroupMeans, draws: int, seed: int) -> Float[np.ndarray, "draws G"]:
    """Label rates of as many images as are labelled in each group, drawn at the group's rate."""
    known = np.isfinite(groups.values[:, 1])
    counts = np.bincount(groups.codes[known], minlength=groups.count)
    rate = np.nan_to_num(groups.means[:, 0])
    hits = np.random.default_rng([seed, 2]).binomial(counts, rate.clip(0, 1), size=(draws, groups.count))
    unknown = (counts == 0) | ~np.isfinite(groups.means[:, 0])
    return np.where(unknown, np.nan, hits / np.maximum(counts, 1))
