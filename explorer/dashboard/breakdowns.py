"""A feature by an attribute of the images, beside its control: observation, in the words of `saeflow feature sweep`."""

from typing import Any, NamedTuple

import polars as pl

from core.data.attributes import attribute_columns
from core.reading.study import OpenedStudy
from explorer.asking.looks import OBSERVED
from explorer.asking.sentences import EVERYWHERE, WHERE, explained
from explorer.dashboard.grids import Grid, grid
from explorer.dashboard.kept import kept
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import UNUSABLE, Refusal

__all__ = ["OBSERVED", "Bar", "Breakdown", "attributes", "breakdown"]
_VALUES = ("value", "mean", "firing", "images", "units")
_SHARES = ("attribute", "share", "control", "q", "images", "units")


class Bar(NamedTuple):
    """A value of the attribute as a bar: ends in percent of the largest upper end."""

    value: str
    mean: float
    low: float | None
    high: float | None
    words: str


class Breakdown(NamedTuple):
    """A feature by an attribute: where it was measured, what may be said, its values and all attributes' shares."""

    by: str
    language: str
    words: str
    said: str
    bars: tuple[Bar, ...]
    values: Grid
    shares: Grid


def attributes(study: OpenedStudy) -> list[str]:
    """The columns of the samples by which images can be sorted."""
    return attribute_columns(study.samples)


def breakdown(shown: ShownLayer, feature: int, by: str, language: str | None) -> Breakdown:
    """The feature by the values of an attribute, in a language (by default the study's first).

    Raises:
        Refusal: the samples have no such attribute, or the study no such language.
    """
    known, languages = attributes(shown.study), shown.study.languages
    if by not in known:
        raise Refusal(UNUSABLE, f"by: {by[:100]!r} is no attribute of the samples; give one of {', '.join(known)}")
    if language is not None and language not in languages:
        raise Refusal(UNUSABLE, f"language: {language[:20]!r} is none of {', '.join(languages)}")
    own = language or languages[0]
    values, shares = _measured(shown, feature, by, own)
    place = WHERE.format(EVERYWHERE, own)
    return Breakdown(
        by, own, place, explained(shares, by), _bars(values), grid(values, _VALUES, of="mean"), grid(shares, _SHARES)
    )


@kept(64)
def _measured(shown: ShownLayer, feature: int, by: str, language: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    from core.features.breakdown import feature_means, spreads, sweep  # PyTorch: other pages need not wait for it

    indexed, study = shown.indexed, shown.study
    groups = _groups(shown)
    sets = sorted(set(groups.table["position_set"]))
    means = feature_means(indexed.index, groups, feature, language, sets)
    return sweep(means, study.samples, by), spreads(means, study.samples)


@kept(4)
def _groups(shown: ShownLayer) -> Any:
    from core.features.row_groups import group_rows

    return group_rows(shown.indexed.tokens, shown.study.samples, shown.study.concept)


def _bars(values: pl.DataFrame) -> tuple[Bar, ...]:
    top = max([*values["high"].drop_nulls(), *values["mean"]], default=0.0) or 1.0

    def part(value: float | None) -> float | None:
        return None if value is None else round(100 * max(0.0, value) / top, 2)

    return tuple(
        Bar(row["value"], part(row["mean"]) or 0.0, part(row["low"]), part(row["high"]), f"{row['mean']:.3g}")
        for row in values.head(16).to_dicts()
    )
