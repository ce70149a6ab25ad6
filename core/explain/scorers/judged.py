"""What a judge was asked about an explanation and what it said: the table that every score is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from core.explain.examples_shown import Example
from core.explain.metrics import ALL

WRONG_MARKS = "wrong_marks"
"""The sort of a firing example with other tokens marked than the active ones."""
JUDGED = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "explainer": pl.String(),
        "example": pl.UInt32(),
        "unit": pl.Int64(),
        "language": pl.String(),
        "kinds": pl.List(pl.String()),
        "truth": pl.List(pl.Float64()),
        "said": pl.List(pl.Float64()),
    }
)
"""One row per explanation and example that was judged. `kinds` are the kinds of example under which it counts; `truth`
is what is so and `said` what the judge said, number by number (one, or one per token); null where its answer could not
be read."""


@dataclass(frozen=True)
class Explained:
    """An explanation that is scored; `explainer` has the language behind it where that is not English."""

    feature: int
    explainer: str
    text: str


class Item(NamedTuple):
    """One example as a judge is asked about it; `truth` is what it should say."""

    unit: int
    language: str | None
    kinds: tuple[str, ...]
    truth: tuple[float, ...]


def judged_rows(
    explained: Explained, items: Sequence[Item], said: Sequence[Sequence[float] | None]
) -> list[tuple[object, ...]]:
    """Rows of `JUDGED`: what was said of each item, null where nothing could be read."""
    who = (explained.feature, explained.explainer)
    return [
        (*who, number, item.unit, item.language, list(item.kinds), list(item.truth), None if one is None else list(one))
        for number, (item, one) in enumerate(zip(items, said, strict=True))
    ]


def quantile_name(quantile: int) -> str:
    """The kind of examples of one band of activation, `quantile_4` the strongest of four."""
    return f"quantile_{quantile}"


def against_silent(items: Sequence[Item], fires: Sequence[bool]) -> list[Item]:
    """The items, each under every kind in which it counts where firing examples are told from silent ones.

    Examples of one quantile stand against all silent ones, and silent ones of one sort against all that fire.

    Args:
        items: each under its own sort alone: its quantile, or the sort of silent example that it is.
        fires: whether the feature fires as it is shown.
    """
    told = list(zip(items, fires, strict=True))
    bands, silent = (sorted({item.kinds[0] for item, one in told if one is way}) for way in (True, False))
    return [item._replace(kinds=(ALL, *item.kinds, *(silent if one else bands))) for item, one in told]


def sort_of(example: Example) -> str:
    """The quantile of a firing example, or the sort of silent example that it is."""
    return quantile_name(example.quantile or 0) if example.fires else example.kind
