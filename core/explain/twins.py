"""Pairs of samples that differ in one attribute and in which a feature fires unequally."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from core.data.attributes import attribute_columns
from core.data.concept import Concept
from core.data.languages import LANGUAGES
from core.data.own_columns import other_attributes
from core.data.splits import tie
from core.explain.examples_shown import Example

UNEQUAL = 0.5
"""A pair counts where the weaker sample fires the feature at most half as strongly as the stronger one: of samples that
fire it alike, none is there to be predicted."""
PER_ATTRIBUTE = 10
"""Pairs per feature, attribute and language, at most."""
_NEXT = 4
"""With how many samples each is paired: there are at most that many times as many pairs."""
APART = pl.Schema({"attribute": pl.String, "sample_id": pl.String, "other_id": pl.String})
TWINS = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "attribute": pl.String(),
        "language": pl.String(),
        "unit": pl.UInt32(),
        **{f"{name}_{side}": pl.String() for side in ("stronger", "weaker") for name in ("sample", "image", "text")},
        **{f"strength_{side}": pl.Float32() for side in ("stronger", "weaker")},
    }
)
"""One row per feature, pair and language: the caption and picture of each sample, and the feature's largest activation
on it. Pairs that share a sample, directly or through others, are one unit."""


class Pair(NamedTuple):
    """Two samples as examples, by what they differ in."""

    attribute: str
    unit: int
    stronger: Example
    weaker: Example


def one_apart(samples: pl.DataFrame, concept: Concept | None) -> pl.DataFrame:
    """Pairs of samples that differ in one attribute and agree in all others, of which there must be one: `APART`.

    Declared twins, and of samples that agree in all other attributes each with the next four by id: where many agree,
    not every pair is there. The concept's columns are one attribute. A column that differs in every declared pair of
    twins and is none of the concept's says which of them is which, and is no attribute.
    """
    groups = _groups(samples, concept)
    columns = [name for names in groups.values() for name in names]
    twin = pl.col("twin_id") if "twin_id" in samples.columns else pl.lit(None, pl.String).alias("twin_id")
    known = samples.select("sample_id", twin, *(pl.col(name).cast(pl.String).fill_null("") for name in columns))
    found = [APART.to_frame()]
    for attribute, names in groups.items():
        if rest := [name for name in columns if name not in names]:
            beside = pl.concat(_beside(known, rest))
            same = pl.all_horizontal(pl.col(name) == pl.col(f"{name}_other") for name in rest)
            differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_other") for name in names)
            ids = pl.concat_list("sample_id", "sample_id_other").list.sort()
            pairs = beside.filter(same & differs).select(sample_id=ids.list.first(), other_id=ids.list.last())
            found.append(
                pairs.unique().sort("sample_id", "other_id").select(pl.lit(attribute).alias("attribute"), pl.all())
            )
    return pl.concat(found)


def _beside(known: pl.DataFrame, rest: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Samples side by side: declared twins, and those that follow each other where the rest is in order."""
    other = known.rename({name: f"{name}_other" for name in known.columns})
    yield (
        known.join(other, left_on="twin_id", right_on="sample_id_other", how="inner")
        .with_columns(pl.col("twin_id").alias("sample_id_other"))
        .select(*known.columns, *other.columns)
    )
    ordered = known.sort(*rest, "sample_id")
    for step in range(1, min(_NEXT, known.height - 1) + 1):
        later = ordered.slice(step).rename({name: f"{name}_other" for name in known.columns})
        yield pl.concat([ordered.head(known.height - step), later], how="horizontal")


def twins(
    apart: pl.DataFrame, examples: pl.DataFrame, windows: pl.DataFrame, samples: pl.DataFrame, seed: int
) -> pl.DataFrame:
    """The pairs that each feature is scored on: `TWINS`, at most 10 per feature, attribute and language.

    A pair with a sample that an explainer saw is left out.

    Args:
        apart: `APART`.
        examples: `ACTIVATION_EXAMPLES` of the features; a sample without a row fires nothing.
        windows: `WINDOWS` of the same features.
        samples: captions and pictures.
        seed: of the draws.
    """
    numbered = apart.with_columns(unit=pl.Series(_units(apart), dtype=pl.UInt32))
    spoken = _captions(samples)
    fired = examples.select(
        "feature_id", "sample_id", pl.col("language").cast(pl.String), pl.col("max_activation").alias("strength")
    )
    told = windows.filter(pl.col("use") == "explain").select("feature_id", "sample_id").unique()
    parts = [TWINS.to_frame()]
    for (feature,), own in fired.group_by("feature_id", maintain_order=True):
        seen = told.filter(pl.col("feature_id") == feature)["sample_id"].implode()
        free = numbered.filter(~pl.col("sample_id").is_in(seen) & ~pl.col("other_id").is_in(seen))
        both = _sided(free, spoken, own.drop("feature_id"))
        order = np.random.default_rng([seed, int(str(feature))]).permutation(both.height)
        few = both[order].group_by("attribute", "language", maintain_order=True).head(PER_ATTRIBUTE)
        parts.append(few.with_columns(feature_id=pl.lit(feature, pl.UInt32)).select(TWINS.names()).cast(TWINS))
    return pl.concat(parts)


def pairs_by_feature(table: pl.DataFrame) -> dict[int, list[Pair]]:
    """The rows of `TWINS` by feature, as pairs of examples."""
    found: dict[int, list[Pair]] = {}
    for row in table.iter_rows(named=True):
        sides = [_example(row, side) for side in ("stronger", "weaker")]
        found.setdefault(row["feature_id"], []).append(Pair(row["attribute"], row["unit"], *sides))
    return found


def _groups(samples: pl.DataFrame, concept: Concept | None) -> dict[str, list[str]]:
    """The columns of each attribute, the concept's together."""
    names = attribute_columns(samples)
    others = names if concept is None else other_attributes(samples, concept)
    own = [name for name in names if name not in others]
    groups = {concept.name: own} if concept is not None and own else {}
    return {**groups, **{name: [name] for name in others if name not in _marks_twins(samples, others)}}


def _marks_twins(samples: pl.DataFrame, names: Sequence[str]) -> list[str]:
    if "twin_id" not in samples.columns:
        return []
    other = samples.select(pl.col("sample_id").alias("twin_id"), *names)
    pairs = samples.drop_nulls("twin_id").join(other, on="twin_id", how="inner", suffix="_other")
    return [name for name in names if pairs.height and (pairs[name] != pairs[f"{name}_other"]).all()]


def _units(apart: pl.DataFrame) -> list[int]:
    keys = [list(row) for row in apart.select("sample_id", "other_id").iter_rows()]
    number = {row: unit for unit, group in enumerate(tie(keys)) for row in group}
    return [number[row] for row in range(apart.height)]


def _captions(samples: pl.DataFrame) -> pl.DataFrame:
    """sample_id, language, text, image: one row per caption."""
    languages = [name for name in LANGUAGES if f"caption_{name}" in samples.columns]
    image = pl.col("image") if "image" in samples.columns else pl.lit(None, pl.String).alias("image")
    parts = [
        samples.select("sample_id", pl.lit(name).alias("language"), pl.col(f"caption_{name}").alias("text"), image)
        for name in languages
    ]
    return pl.concat(parts).drop_nulls("text")


def _sided(apart: pl.DataFrame, spoken: pl.DataFrame, fired: pl.DataFrame) -> pl.DataFrame:
    """The pairs of one feature by language, stronger and weaker told apart; nearly equal ones left out."""
    known = spoken.join(fired, on=["sample_id", "language"], how="left").with_columns(pl.col("strength").fill_null(0.0))
    both = apart.join(known, on="sample_id").join(
        known, left_on=["other_id", "language"], right_on=["sample_id", "language"], suffix="_other"
    )
    low, high = pl.min_horizontal("strength", "strength_other"), pl.max_horizontal("strength", "strength_other")
    kept = both.filter((high > 0) & (low <= UNEQUAL * high)).sort("attribute", "language", "sample_id", "other_id")
    first = pl.col("strength") > pl.col("strength_other")
    names = {
        "sample": ("sample_id", "other_id"),
        **{name: (name, f"{name}_other") for name in ("image", "text", "strength")},
    }
    return kept.select("attribute", "language", "unit", *_either(names, first))


def _either(names: Mapping[str, tuple[str, str]], first: pl.Expr) -> Iterator[pl.Expr]:
    for name, (one, other) in names.items():
        yield pl.when(first).then(one).otherwise(other).alias(f"{name}_stronger")
        yield pl.when(first).then(other).otherwise(one).alias(f"{name}_weaker")


def _example(row: Mapping[str, object], side: str) -> Example:
    values = {name: row[f"{name}_{side}"] for name in ("sample", "image", "text")}
    image = values["image"]
    return Example(
        kind="quantile",
        quantile=None,
        prompt_id=0,
        sample_id=str(values["sample"]),
        image=None if image is None else str(image),
        language=str(row["language"]),
        tokens=(str(values["text"]),),
        values=(),
        map_cells=None,
    )
