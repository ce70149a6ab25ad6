"""The same in captions that the model writes: how many tell either side, by group, beside what was planted."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from core.analysis.bias import Config
from core.analysis.bias.hidden import ONE_GROUP, Hidden, drawn
from core.analysis.bias.rates import OVER_GROUPS
from core.causal.pairs import request
from core.data.caption_sets import NO_SIDE, told
from core.lm.generate import generate
from core.lm.loaded import LoadedModel
from core.lm.prompts import UnusableText, encode_sample
from core.stats.families import corrected_within
from core.stats.group_means import (
    GroupMeans,
    agreement,
    columns_of,
    mean_error,
    mean_over_groups,
    too_few,
    weighted_spearman,
)
from core.stats.intervals import wilson

WRITTEN = pl.Schema(
    {
        **dict.fromkeys(("image_id", "sample_id", "language"), pl.String),
        "shown": pl.Boolean,
        **dict.fromkeys(("text", "told", "own"), pl.String),
    }
)
"""One greedy caption per image and language: whether the picture shows the concept, the side that the caption tells
(`both`, or `no side`), and the label of the image's own caption."""
SHARES = pl.Schema(
    {
        **dict.fromkeys(("column", "group", "language"), pl.String),
        **dict.fromkeys(("captions", "first", "other", "both", "no_side", "units"), pl.UInt32),
        **dict.fromkeys(("share", "low", "high", "planted"), pl.Float64),
    }
)
"""One row per column, group and language of captions of pictures that do not show the concept: how many tell the first
side, the other one, both, neither; `share` of the first among those that tell one, a mean over `units` whose captions
do, with its Wilson interval."""
OVERALL_SHARES = pl.Schema([(name, kind) for name, kind in SHARES.items() if name not in ("group", "planted")])
"""One row per language, over all such captions; the interval draws groups of `column`, then units within each;
units alone where it is empty, as with fewer than `LEAST_GROUPS` groups."""
SHARE_RHO = "Spearman's rho of generated captions with the planted rates"
SHARE_ERROR = "mean absolute error of generated captions from the planted rates"


def unwritable(hidden: Hidden, config: Config) -> str:
    """Why no caption is generated; empty where one is."""
    if not config.written:
        return "analyses.bias.written is 0"
    if hidden.inputs.images is None:
        return "the study has no pictures"
    return hidden.inputs.open_model().unwritable


def write(hidden: Hidden, config: Config) -> pl.DataFrame:
    """`WRITTEN`: captions of up to `config.written` images of either kind, one per image and language."""
    inputs, found = hidden.inputs, []
    if unwritable(hidden, config):
        return pl.DataFrame(schema=WRITTEN)
    for shown, images in ((False, hidden.visible.hidden), (True, hidden.visible.shown)):
        chosen = drawn(inputs, images, config.written)
        rows = inputs.samples.filter(pl.col("image_id").is_in(chosen)).unique("image_id", keep="first")
        for language in inputs.languages:
            found += list(_captions(hidden, config, rows.sort("image_id"), (language, shown)))
    return pl.DataFrame(found, schema=WRITTEN)


def _captions(hidden: Hidden, config: Config, rows: pl.DataFrame, place: tuple[str, bool]) -> Iterator[dict[str, Any]]:
    language, shown = place
    inputs, loaded = hidden.inputs, hidden.inputs.open_model()
    prompts = _prompts(hidden, loaded, rows, language)
    texts = generate(loaded, [prompt for _, prompt in prompts], config.max_new_tokens)
    for (row, _), text in zip(prompts, texts, strict=True):
        fields = {"image_id": row["image_id"], "sample_id": row["sample_id"], "language": language, "shown": shown}
        own = row[inputs.concept.label_column(language)]
        yield {**fields, "text": text, "told": told(inputs.concept, text, language), "own": own}


def _prompts(hidden: Hidden, loaded: LoadedModel, rows: pl.DataFrame, language: str) -> list[tuple[Any, Any]]:
    found = []
    for row in rows.iter_rows(named=True):
        try:
            found.append((row, encode_sample(loaded, request(hidden.inputs, row, language, ""))))
        except UnusableText:
            continue
    return found


def share_table(hidden: Hidden, written: pl.DataFrame) -> pl.DataFrame:
    """`SHARES`."""
    rows = [
        _row(hidden, (column, language, part["group"][0]), part)
        for column in hidden.columns
        for language in hidden.inputs.languages
        for part in told_by_group(hidden, written, column, language).partition_by("group", maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=SHARES)


def overall_shares(hidden: Hidden, config: Config, written: pl.DataFrame) -> pl.DataFrame:
    """`OVERALL_SHARES`."""
    column, rows = (*hidden.columns, ONE_GROUP)[0], []
    for language in hidden.inputs.languages:
        known = told_by_group(hidden, written, column, language)
        if known.height:
            row = _row(hidden, (column, language, None), known)
            means = _means(known)
            row["column"] = ONE_GROUP if too_few(means, 0) else column
            interval = mean_over_groups(means, 0, config.bootstrap, hidden.inputs.seed)
            low, share, high = (value if np.isfinite(value) else None for value in interval)
            row |= {"low": low, "share": share, "high": high}
            rows.append({name: row[name] for name in OVERALL_SHARES})
    return pl.DataFrame(rows, schema=OVERALL_SHARES)


def told_by_group(hidden: Hidden, written: pl.DataFrame, column: str, language: str) -> pl.DataFrame:
    """group, unit, told, own and `first` (1, 0, null where no single side is told) of captions of pictures that do not
    show the concept, by group and image."""
    one, other = hidden.inputs.concept.sides
    own = written.filter(~pl.col("shown"), pl.col("language") == language)
    first = pl.when(pl.col("told") == one).then(1.0).when(pl.col("told") == other).then(0.0)
    group = pl.col(column) if column else pl.col("unit").cast(pl.String)
    known = hidden.groups.select("image_id", "unit", group.alias("group")).drop_nulls("group")
    return own.join(known, on="image_id").with_columns(first.alias("first")).sort("group", "image_id")


def _row(hidden: Hidden, place: tuple[str, str, str | None], known: pl.DataFrame) -> dict[str, Any]:
    column, language, group = place
    one, other = hidden.inputs.concept.sides
    counts = {name: int((known["told"] == side).sum()) for name, side in _counted(one, other)}
    units = _units(known)["first"].drop_nulls()
    planted = hidden.planted
    rate = planted.rates.get(group or "") if planted is not None and planted.column == column else None
    interval = wilson(float(units.sum()), len(units))
    row: dict[str, Any] = {"column": column, "group": group, "language": language, "captions": known.height, **counts}
    row |= {"units": len(units), "planted": rate}
    values = {"share": interval.mean, "low": interval.low, "high": interval.high}
    return row | {name: value if len(units) else None for name, value in values.items()}


def _counted(one: str, other: str) -> tuple[tuple[str, str], ...]:
    return (("first", one), ("other", other), ("both", "both"), ("no_side", NO_SIDE))


def _units(known: pl.DataFrame) -> pl.DataFrame:
    """One row per group and unit: twins that share a picture have one caption between them."""
    return known.group_by("group", "unit").agg(pl.col("first").mean()).sort("group", "unit")


def _means(known: pl.DataFrame, planted: Mapping[str, float] | None = None) -> GroupMeans:
    units = _units(known)
    values = [units["first"].cast(pl.Float64).fill_null(float("nan")).to_numpy()]
    if planted is not None:
        values.append(np.array([planted.get(group, float("nan")) for group in units["group"]]))
    return GroupMeans.of(np.stack(values, axis=1), units["group"].to_list(), units["unit"].to_numpy())


def shares_beside_planted(hidden: Hidden, config: Config, written: pl.DataFrame) -> pl.DataFrame:
    """`OVER_GROUPS` of the share of captions that tell the first side, against the planted rates."""
    rows, planted = [], hidden.planted
    draws, seed = (config.bootstrap, config.permutations), hidden.inputs.seed
    for language in hidden.inputs.languages if planted is not None else ():
        assert planted is not None
        known = told_by_group(hidden, written, planted.column, language)
        if known.is_empty():
            continue
        groups = _means(known, planted.rates)
        for name, measure in ((SHARE_RHO, weighted_spearman), (SHARE_ERROR, mean_error)):
            found = agreement(groups, (0, 1), measure, draws, seed)
            if found is not None:
                counts = {"groups": groups.count, "units": known["unit"].n_unique()}
                rows.append(
                    {"measure": name, "column": planted.column, "language": language, **counts, **columns_of(found)}
                )
    return corrected_within(pl.DataFrame(rows, schema=OVER_GROUPS), pl.col("measure"))
