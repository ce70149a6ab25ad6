"""A concept that captions express: its two sides, its words, and where in a caption it can be read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

IMAGE, LAST_PROMPT, OTHER = "image", "last-prompt", "other"
"""Position sets that need no concept: image rows, the last row before a caption, and rows in no statistic."""


class ConceptWord(Protocol):
    """A stretch of a caption, `caption[start:end]`, that tells a side; a `name` is the weakest kind."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """The character after the last."""

    @property
    def kind(self) -> str:
        """Noun, pronoun, name and so on."""

    @property
    def side(self) -> str:
        """The side that it tells, one of the concept's."""


def _as_prepared(samples: pl.DataFrame) -> pl.DataFrame:
    return samples


def _no_pairs(_language: str) -> Sequence[tuple[str, str]]:
    return ()


def _no_words(_language: str) -> Sequence[str]:
    return ()


def _no_rates(_truth: Mapping[str, Any]) -> "PlantedRates | None":
    return None


@dataclass(frozen=True)
class PlantedRates:
    """How often captions of pictures that do not show the concept are on its first side, by group, in a known world.

    `column` is the column of the samples that names the group; `rates` are the planted probabilities.
    """

    column: str
    rates: Mapping[str, float]


def capitalised(words: str) -> str:
    """The words with a capital first letter."""
    return words[:1].upper() + words[1:]


def side_noun(concept: "Concept") -> str:
    """What one of its sides is: its name where it comes with saeflow, "place class" of another."""
    return concept.name if concept.built_in else f"{concept.name} class"


def a_side(concept: "Concept") -> str:
    """The same with its article: "a place class", "an order class"."""
    return f"{'an' if concept.name[0].lower() in 'aeiou' else 'a'} {side_noun(concept)}"


@dataclass(frozen=True)
class Positions:
    """Names of a concept's position sets: caption rows before its first word, on that word, and on later ones."""

    before: str
    first: str
    later: str


@dataclass(frozen=True)
class Concept:
    """A concept with two sides, which a caption expresses by words.

    `sides` are the labels of the two sides, the one that scores point to first. `shown` is the column of the samples
    that tells whether the picture shows the concept, and the value that says that it does not. `words` finds a
    caption's words, in reading order. `counterpart` gives what the other side has in the place of one of them (of a
    caption and a language), null where that is not sure; `planted` is the key of a known-answer world's truth that
    lists such words, and `world` says of such a truth and its samples what was planted, as phrases by what they are
    about: "read" (how well the concept can be read off the picture), "word", "place", "apart" (other attributes),
    "bias" (pictures that do not show it). `adjective` and `plural` are for sentences.
    """

    name: str
    plural: str
    adjective: str
    sides: tuple[str, str]
    positions: Positions
    shown: tuple[str, str]
    planted: str
    words: Callable[[str, str], Sequence[ConceptWord]]
    counterpart: Callable[[str, ConceptWord, str], str | None]
    world: Callable[[Mapping[str, Any], pl.DataFrame], Mapping[str, str]]
    label: Callable[[str, str], str]
    """The label of a caption in a language, by its words alone: a side, `both`, or another where it tells none."""
    colours: Mapping[str, str]
    """The colour of each label, in the order of legends."""
    labelled: Callable[[pl.DataFrame], pl.DataFrame] = _as_prepared
    """The samples with the columns of the captions' labels; as they are where `prepare` has written them."""
    told_by: str = "the captions by lexicon and agreement"
    """What labels are read off, in words."""
    box: str = "person"
    """What of the picture shows the concept, where the samples have a box of it (`…_box`)."""
    column: str | None = None
    """The column of the samples that labels are read from, where there is one."""
    nouns: Mapping[str, str] = field(default_factory=dict)
    """What those on a side are called, where that is another word: women; the side itself where none is named."""
    one: str = ""
    """One of the first side, as an instruction asks for it: a woman; the side itself where nothing is said."""
    other_words: str = ""
    """What a caption's other words are called, where there is a word for it."""
    bearers: str = ""
    """What follows a side in a sentence about those on it: " people"; nothing where the side itself is meant."""
    built_in: bool = True
    """Whether it comes with saeflow; a study describes any other."""
    pairs: Callable[[str], Sequence[tuple[str, str]]] = _no_pairs
    """The words of a language that have a counterpart, the first side's before the other's; none where none is
    listed."""
    neutral: Callable[[str], Sequence[str]] = _no_words
    """The words of a language that stand in such a word's place and tell neither side; none where none is listed."""
    rates: Callable[[Mapping[str, Any]], PlantedRates | None] = _no_rates
    """What a known-answer world's truth planted for pictures that do not show the concept; null where nothing."""

    @property
    def position_sets(self) -> tuple[str, ...]:
        """Every position set, in reading order, rows in no statistic last."""
        return (IMAGE, LAST_PROMPT, self.positions.before, self.positions.first, self.positions.later, OTHER)

    @property
    def decision_sets(self) -> tuple[str, str]:
        """Where the concept cannot be read off the caption: only here "it emerges" is claimed."""
        return LAST_PROMPT, self.positions.before

    @property
    def questions(self) -> Mapping[str, str]:
        """What is asked at a position set: does the concept show in the picture, before it is spoken, or in the words
        themselves? Thousands of sure finds on its words would otherwise lend their false discovery rate to the
        decision positions."""
        own = self.positions
        asked = {IMAGE: "picture", LAST_PROMPT: "decision", own.before: "decision"}
        return {**asked, own.first: "words", own.later: "words"}

    @property
    def others(self) -> str:
        """The words of a caption that are not the concept's: "words that tell no place"."""
        return self.other_words or f"words that tell no {self.name}"

    def those(self, side: str) -> str:
        """What those on a side are called."""
        return self.nouns.get(side, side)

    def label_column(self, language: str) -> str:
        """The column of the samples with the label of the caption in that language."""
        return f"{self.name}_{language}"

    def image_labels(self, samples: pl.DataFrame, language: str) -> pl.DataFrame:
        """One row per image: image_id, split, positive (whether it is on the first side; null where its captions
        disagree, or are on neither side)."""
        return samples.group_by("image_id").agg(pl.col("split").first(), self._side(language)).sort("image_id")

    def image_sides(self, samples: pl.DataFrame, language: str) -> pl.DataFrame:
        """`image_labels` without the split, of samples that have none."""
        return samples.group_by("image_id").agg(self._side(language)).sort("image_id")

    def _side(self, language: str) -> pl.Expr:
        label, (one, other) = pl.col(self.label_column(language)), self.sides
        positive, negative = (label == one).any(), (label == other).any()
        clear = (positive != negative) & ~(label == "both").any()
        return pl.when(clear).then(positive).otherwise(None).alias("positive")
