"""A concept that a study describes: its labels, words and counterparts, from a column, from word lists, or both."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import polars as pl

from core.data.concept import Concept, ConceptWord, Positions
from core.data.languages import LANGUAGES
from core.data.listed_words import ListedWord, WordLists
from core.errors import BadInput
from core.study.concept import BOTH, NONE, StudiedConcept, reserved

_AFFIRMED = ("true", "yes", "1")
"""Values that are the positive class where a column has one of them, in any case."""
_FIRST, _OTHER, _BOTH, _NONE = "#AA3377", "#228833", "#CCAA22", "#BBBBBB"


def studied_concept(asked: StudiedConcept, samples: pl.DataFrame) -> Concept:
    """The concept as analyses take it.

    Args:
        asked: its section of the study.
        samples: their column decides the classes where the section does not.

    Raises:
        BadInput: the column is missing, or has other than two values and no choice among them.
    """
    sides = asked.classes or classes_of(asked, samples)
    lists = word_lists(asked, sides)
    name = asked.name

    @lru_cache(maxsize=65536)
    def words(caption: str, language: str) -> Sequence[ListedWord]:
        return lists[language].find(caption) if language in lists else ()

    def counterpart(caption: str, word: ConceptWord, language: str) -> str | None:
        return lists[language].counterpart(caption, word) if isinstance(word, ListedWord) else None

    def label(caption: str, language: str) -> str:
        return _label({word.side for word in words(caption, language)})

    def labelled(samples: pl.DataFrame) -> pl.DataFrame:
        columns = (_labels(asked, sides, lists, samples, language) for language in LANGUAGES)
        return samples.with_columns(column for column in columns if column is not None)

    return Concept(
        name=name,
        plural=f"{name} classes",
        adjective=name,
        sides=sides,
        positions=Positions(before=f"pre-{name}", first=f"first-{name}", later=f"later-{name}"),
        shown=("", ""),
        planted=f"{name}_words",
        words=words,
        counterpart=counterpart,
        world=_no_world,
        label=label,
        colours={sides[0]: _FIRST, sides[1]: _OTHER, BOTH: _BOTH, NONE: _NONE},
        labelled=labelled,
        told_by=_told_by(asked),
        box=asked.column or "",
        column=asked.column,
        built_in=False,
        pairs=lambda language: lists[language].pairs if language in lists else (),
    )


def word_lists(asked: StudiedConcept, sides: tuple[str, str]) -> dict[str, WordLists]:
    """The words of both sides by language; a language without any is left out."""
    found: dict[str, WordLists] = {}
    for language in LANGUAGES:
        own = asked.listed(language)
        if any(own):
            found[language] = WordLists(language, sides, own, asked.pairs(language))
    return found


def classes_of(asked: StudiedConcept, samples: pl.DataFrame) -> tuple[str, str]:
    """The two values of the concept's column, the positive class first: `true`, `yes` or `1`, or else the first in
    order.

    Raises:
        BadInput: the column is missing, has other than two values, or one that is called as a label is.
    """
    field = f"concepts.{asked.name}"
    if asked.column is None:
        raise BadInput(f"{field}: it has no column and no words; name a column, or list words of its two classes")
    counts = value_counts(column_of(asked, samples))
    if len(counts) == 2:
        one, other = sorted(counts, key=lambda value: (value.casefold() not in _AFFIRMED, value))
        if taken := next((side for side in (one, other) if side in (BOTH, NONE)), None):
            raise BadInput(f"{field}.column: {asked.column!r}: {reserved(taken)}")
        return one, other
    said, values = f"{field}.column: {asked.column!r}", number_of_values(counts)
    if len(counts) < 2:
        raise BadInput(f"{said} has {values}, and a concept has two; name another column, or list words")
    raise BadInput(f"{said} has {values}; choose two of them: positive: …, negative: …")


def column_of(asked: StudiedConcept, samples: pl.DataFrame) -> pl.Series:
    """The column's values as text: whole numbers without a decimal point; null where a cell is blank or no number.

    Raises:
        BadInput: the samples have no such column, or one of lists.
    """
    name = str(asked.column)
    if name not in samples.columns:
        there = ", ".join(sorted(samples.columns))
        raise BadInput(f"concepts.{asked.name}.column: {name!r} is no column of the samples; there are {there}")
    if samples[name].dtype.is_nested():
        raise BadInput(f"concepts.{asked.name}.column: {name!r} holds lists; name a column with one value per sample")
    values = samples[name]
    if values.dtype.is_decimal():
        values = values.cast(pl.Float64)
    if values.dtype.is_float():
        return _numbers_as_text(values)
    texts = values.cast(pl.String)
    return texts.set(texts.str.strip_chars() == "", None)


def _numbers_as_text(values: pl.Series) -> pl.Series:
    known = values.fill_nan(None)
    whole = known.cast(pl.Int64, strict=False)
    is_whole = (whole.cast(known.dtype) == known).fill_null(False)
    return known.cast(pl.String).zip_with(~is_whole, whole.cast(pl.String))


def value_counts(values: pl.Series) -> dict[str, int]:
    """How many samples have each value, the most frequent first; missing values are not counted."""
    known = values.drop_nulls().to_list()
    return {value: known.count(value) for value in sorted(set(known), key=lambda one: (-known.count(one), one))}


def number_of_values(counts: Mapping[str, int], most: int = 8) -> str:
    """ "3 values (red 80, blue 60, green 12)": the most frequent of them."""
    listed = ", ".join(f"{value} {count:,}" for value, count in list(counts.items())[:most])
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    noun = "value" if len(counts) == 1 else "values"
    return f"{len(counts):,} {noun} ({listed}{more})" if counts else "no value"


def _labels(
    asked: StudiedConcept,
    sides: tuple[str, str],
    lists: Mapping[str, WordLists],
    samples: pl.DataFrame,
    language: str,
) -> pl.Series | None:
    """The label of each sample's caption in a language; null where it has none."""
    captions = f"caption_{language}"
    if captions not in samples.columns:
        return None
    told = [_told(lists.get(language), caption) for caption in samples[captions]]
    if asked.column is None:
        found = [None if words is None else _label(words) for words in told]
    else:
        values = column_of(asked, samples).to_list()
        found = [_beside_column(value, words, sides) for value, words in zip(values, told, strict=True)]
    return pl.Series(f"{asked.name}_{language}", found, dtype=pl.String)


def _told(lists: WordLists | None, caption: str | None) -> set[str] | None:
    if caption is None:
        return None
    return {word.side for word in lists.find(caption)} if lists is not None else set()


def _label(told: set[str]) -> str:
    if len(told) == 2:
        return BOTH
    return next(iter(told), NONE)


def _beside_column(value: str | None, told: set[str] | None, sides: tuple[str, str]) -> str | None:
    """The column's class, unless the caption's words tell the other one: such a caption is on both sides."""
    if told is None or value not in sides:
        return None if told is None else NONE
    return BOTH if told - {value} else value


def _told_by(asked: StudiedConcept) -> str:
    words = "the captions by the study's word lists"
    if asked.column is None:
        return words
    column = f"the column {asked.column}"
    return f"{column}, and `{BOTH}` where a caption names the other class" if asked.words else column


def _no_world(_truth: Mapping[str, Any], _samples: pl.DataFrame) -> Mapping[str, str]:
    return {}
