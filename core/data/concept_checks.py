"""What is wrong, or doubtful, with a concept that a study describes: found in its samples before anything is run."""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from core.data.concept import Concept
from core.data.emoji_source import read_emoji
from core.data.known_concepts import THE_CONCEPT, is_built_in
from core.data.languages import LANGUAGE_NAMES, Language
from core.data.listed_words import WordLists
from core.data.own_columns import same_as
from core.data.sample_frame import to_frame
from core.data.scenes import scene_table
from core.data.studied_concept import (
    classes_of,
    column_of,
    number_of_values,
    studied_concept,
    value_counts,
    word_lists,
)
from core.data.table_checks import attribute_types
from core.data.table_columns import table_path
from core.data.table_rows import table_types
from core.data.table_source import check_rows
from core.errors import BadInput
from core.progress import silent
from core.study.concept import BOTH, StudiedConcept
from core.study.data import DataSource, EmojiSource, TableSource

MOST_CAPTIONS = 20_000
"""Captions of a language that words are looked for in: the first ones."""
FEWEST = 20
"""Samples of either class below which a concept is said to be small: tests need five images in each split."""
UNEVEN = 0.1
"""Share of the smaller class below which classes are said to be uneven."""
_MOST_NAMED = 6


def unprepared_samples(source: DataSource, base: Path) -> pl.DataFrame:
    """The samples that a source has before they are prepared: all rows, without splits, and no picture is opened.

    Raises:
        BadInput: the table or a column is missing or unreadable.
    """
    if isinstance(source, TableSource):
        path = table_path(source, base)
        checker = check_rows(source, path, silent)
        return to_frame(checker.samples, attribute_types(table_types(path), checker.there))
    if isinstance(source, EmojiSource):
        return read_emoji(source, silent).frame
    return scene_table(source.num_samples, source.seed)


def check_concept(asked: StudiedConcept, samples: pl.DataFrame, languages: Sequence[Language]) -> tuple[str, ...]:
    """What is doubtful with a concept, a line each.

    Args:
        asked: its section of the study.
        samples: prepared or not.
        languages: those that the study's captions can have.

    Raises:
        BadInput: it cannot be asked about; one line with the field, the counts and the fix.
    """
    _check_name(asked, samples)
    if is_built_in(asked):
        return ()
    _check_classes(asked, samples)
    lists = word_lists(asked, asked.classes or classes_of(asked, samples))
    _check_lists(asked, lists.values(), languages)
    samples = samples.head(MOST_CAPTIONS)
    concept = studied_concept(asked, samples)
    labelled = concept.labelled(samples)
    heard = (*_unheard(asked, lists.values(), samples), *_balance(asked, concept, labelled, languages))
    return (*heard, *_twice(concept, labelled))


def _check_name(asked: StudiedConcept, samples: pl.DataFrame) -> None:
    name = asked.name
    if is_built_in(asked):
        if asked.column is not None or asked.words or asked.classes:
            raise BadInput(f"concepts.{name}: {name} is built in, and takes no column and no words; rename yours")
        return
    taken = [f"{name}_{code}" for code in LANGUAGE_NAMES if f"{name}_{code}" in samples.columns]
    if taken:
        raise BadInput(f"concepts.{name}.name: the samples have a column {taken[0]!r} already; rename the concept")
    if asked.column is None and not asked.words:
        fix = "name a column, or list words of its two classes"
        raise BadInput(f"concepts.{name}: no column and no words ({THE_CONCEPT.name} alone is built in); {fix}")


def _check_classes(asked: StudiedConcept, samples: pl.DataFrame) -> None:
    """Whether both classes are values of the column, where there is one."""
    if asked.column is None:
        return
    if asked.column not in samples.columns and (near := get_close_matches(asked.column, samples.columns, n=1)):
        field, column = f"concepts.{asked.name}.column", asked.column
        raise BadInput(f"{field}: {column!r} is no column of the samples; did you mean {near[0]!r}?")
    counts = value_counts(column_of(asked, samples))
    if len(counts) < 2:
        classes_of(asked.model_copy(update={"positive": None, "negative": None}), samples)
    for field, side in (("positive", asked.positive), ("negative", asked.negative)):
        if side is not None and side not in counts:
            place, values = f"concepts.{asked.name}.{field}", number_of_values(counts)
            raise BadInput(f"{place}: {side!r} is no value of column {asked.column!r}, which has {values}; name one")


def _check_lists(asked: StudiedConcept, lists: Collection[WordLists], languages: Sequence[Language]) -> None:
    field = f"concepts.{asked.name}.words"
    for own in lists:
        if own.language not in languages:
            column = f"data.columns.caption_{own.language}"
            raise BadInput(
                f"{field}: lists {LANGUAGE_NAMES[own.language]} words, and the study has no "
                f"{LANGUAGE_NAMES[own.language]} captions; remove them, or name {column}"
            )
        empty = next((entry for words in own.words for entry in words if not own.phrase(entry)), None)
        if empty is not None:
            raise BadInput(f"{field}: {empty!r} ({own.language}) holds no word; remove it")
        apart = next((entry for words in own.words for entry in words if not own.finds(entry)), None)
        if apart is not None:
            left = " ".join(own.phrase(apart))
            fix = f"{left!r} is left of it; write its words with spaces or hyphens between them, or one entry each"
            raise BadInput(f"{field}: {apart!r} ({own.language}) has marks between its words, and {fix}")
        if shared := own.in_both():
            raise BadInput(f"{field}: {shared[0]!r} ({own.language}) stands in both lists; leave it in one, or in none")


def _unheard(asked: StudiedConcept, lists: Collection[WordLists], samples: pl.DataFrame) -> Iterator[str]:
    """The listed words that no caption has."""
    for own in lists:
        captions = samples[f"caption_{own.language}"].drop_nulls().to_list()
        heard = {word.phrase for caption in captions for word in own.find(caption)}
        for side, words in zip(own.sides, own.words, strict=True):
            missing = [entry for entry in words if own.phrase(entry) not in heard]
            if missing:
                place = f"concepts.{asked.name}.words.{side}.{own.language}"
                named = ", ".join(missing[:_MOST_NAMED]) + (" …" if len(missing) > _MOST_NAMED else "")
                said = f"{len(missing)} of {len(words)} words occur in none of {len(captions):,} captions ({named})"
                yield f"{place}: {said}; list them as captions have them, plurals too"


def _twice(concept: Concept, labelled: pl.DataFrame) -> Iterator[str]:
    """The columns that say what the concept says."""
    for column, images in same_as(labelled, concept).items():
        said = f"column {column!r} sorts all {images:,} images of a class of which it is known as {concept.name} does"
        yield f"concepts.{concept.name}: {said}; a feature of one is a feature of the other, and it is no correlate"


def _balance(
    asked: StudiedConcept, concept: Concept, labelled: pl.DataFrame, languages: Sequence[Language]
) -> Iterator[str]:
    """How the captions' labels are spread; a class that no caption has is refused."""
    for language in languages:
        labels = labelled[concept.label_column(language)].drop_nulls()
        sizes = [int((labels == side).sum()) for side in concept.sides]
        counts = ", ".join(f"{side} {size:,}" for side, size in zip(concept.sides, sizes, strict=True))
        place = f"concepts.{asked.name}: {LANGUAGE_NAMES[language]} captions: {counts}"
        if not labels.len() or (asked.column is None and not any(asked.listed(language))):
            continue
        if not min(sizes):
            fix = "list words that captions have" if asked.column is None else "name another class"
            raise BadInput(f"{place} of {labels.len():,}; {fix}")
        if min(sizes) < FEWEST:
            yield f"{place}; each split needs 5 images of either class: expect no test with fewer than {FEWEST} samples"
        elif min(sizes) < UNEVEN * sum(sizes):
            share = min(sizes) / sum(sizes)
            yield f"{place}; the smaller class is {share:.0%} of them, and intervals are as wide as it is small"
        both = int((labels == BOTH).sum())
        if both > UNEVEN * sum(sizes):
            yield f"{place}; {both:,} more are on both sides by their words, and in no test"
