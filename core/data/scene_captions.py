"""Captions of the known-answer world: one scene, one gender, two languages, every gendered word marked.

The caption is a function of the picture (and, where the person shows no gender, of the drawn gender): the corner that
the place stands in chooses the sentence. A place in the upper half opens the caption, so that the caption has
positions before gender is spoken.

    upper left   In the park, a tired woman in a doctor's outfit reads her red book.
    upper right  In the park, a tired doctor reads her red book.
    lower left   The woman is a tired doctor, and she reads her red book in the park.
    lower right  This is a tired doctor, and she reads her red book in the park.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from core.data import scene_lexicon as lexicon
from core.data.languages import Language
from core.data.scene_lexicon import COLOURS, Gender, Mood, Pair, Place, Profession, Thing

Corner = Literal["upper left", "upper right", "lower left", "lower right"]
CORNERS: tuple[Corner, ...] = ("upper left", "upper right", "lower left", "lower right")
Kind = Literal["noun", "profession", "adjective", "verb", "pronoun", "possessive", "demonstrative"]


class GenderedWord(NamedTuple):
    """A word of a caption that changes with the person's gender: `caption[start:end]`."""

    start: int
    end: int
    kind: Kind
    word: str
    counterpart: str
    """The word that the caption of the other gender has here."""


class Caption(NamedTuple):
    """A caption and its gendered words, in reading order."""

    text: str
    gendered: tuple[GenderedWord, ...]


@dataclass(frozen=True)
class Content:
    """What a caption speaks of, apart from gender."""

    profession: Profession
    thing: Thing
    colour: str
    place: Place
    mood: Mood
    corner: Corner


class _Marked(NamedTuple):
    """A pair of forms that stands in a sentence, and its part of speech."""

    pair: Pair
    kind: Kind


_Piece = str | _Marked
_Frame = Callable[[Content], list[_Piece]]


def caption(content: Content, gender: Gender, language: Language) -> Caption:
    """Write the caption of one scene; the same content and gender always give the same text."""
    frames = _ENGLISH if language == "en" else _ARABIC
    text, words = "", []
    for piece in frames[content.corner](content):
        if isinstance(piece, str):
            text += piece
            continue
        word, other = piece.pair.of(gender), piece.pair.of("male" if gender == "female" else "female")
        words.append(GenderedWord(len(text), len(text) + len(word), piece.kind, word, other))
        text += word
    return Caption(text, tuple(words))


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _opening(place: str) -> str:
    return place[0].upper() + place[1:]


def _owned_en(content: Content) -> list[_Piece]:
    her = _Marked(lexicon.POSSESSIVE_EN, "possessive")
    return [f"{content.thing.verb_en} ", her, f" {content.colour} {content.thing.noun_en}"]


def _outfit_en(content: Content) -> list[_Piece]:
    start = f"{_opening(content.place.en)}, a {content.mood.name} "
    noun = content.profession.en
    outfit = f" in {_article(noun)} {noun}'s outfit "
    return [start, _Marked(lexicon.SUBJECT_EN, "noun"), outfit, *_owned_en(content), "."]


def _pronoun_free_en(content: Content) -> list[_Piece]:
    start = f"{_opening(content.place.en)}, a {content.mood.name} {content.profession.en} "
    return [start, *_owned_en(content), "."]


def _predicate_en(content: Content) -> list[_Piece]:
    middle = f" is a {content.mood.name} {content.profession.en}, and "
    she = _Marked(lexicon.PRONOUN_EN, "pronoun")
    ending = f" {content.place.en}."
    return ["The ", _Marked(lexicon.SUBJECT_EN, "noun"), middle, she, " ", *_owned_en(content), ending]


def _presenting_en(content: Content) -> list[_Piece]:
    start = f"This is a {content.mood.name} {content.profession.en}, and "
    she = _Marked(lexicon.PRONOUN_EN, "pronoun")
    return [start, she, " ", *_owned_en(content), f" {content.place.en}."]


def _colour_ar(content: Content) -> str:
    """The colour agrees with the Arabic noun it describes, whoever owns the thing."""
    return COLOURS[content.colour].of("female" if content.thing.feminine else "male")


def _verb_ar(content: Content) -> _Marked:
    return _Marked(content.thing.verb_ar, "verb")


def _owned_ar(content: Content) -> list[_Piece]:
    return [_Marked(content.thing.noun_ar, "possessive"), " " + _colour_ar(content)]


def _profession_ar(content: Content) -> list[_Piece]:
    """Mark the head of the profession: in رائدة فضاء only the first word is gendered."""
    (female, *rest), (male, *_) = content.profession.ar.female.split(" "), content.profession.ar.male.split(" ")
    head = _Marked(Pair(female, male), "profession")
    return [head, " " + " ".join(rest)] if rest else [head]


def _mood_ar(content: Content) -> _Marked:
    return _Marked(content.mood.ar, "adjective")


def _outfit_ar(content: Content) -> list[_Piece]:
    woman = _Marked(lexicon.SUBJECT_AR, "noun")
    start: list[_Piece] = [f"{content.place.ar}، ", woman, " ", _mood_ar(content), " بزي "]
    return [*start, *_profession_ar(content), " ", _verb_ar(content), " ", *_owned_ar(content), "."]


def _pronoun_free_ar(content: Content) -> list[_Piece]:
    start: list[_Piece] = [f"{content.place.ar}، ", _verb_ar(content), " ", *_profession_ar(content)]
    return [*start, " ", _mood_ar(content), " ", *_owned_ar(content), "."]


def _clause_ar(content: Content, subject: _Marked) -> list[_Piece]:
    she = _Marked(lexicon.PRONOUN_AR, "pronoun")
    start: list[_Piece] = [subject, " ", *_profession_ar(content), " ", _mood_ar(content), "، ", she, " "]
    return [*start, _verb_ar(content), " ", *_owned_ar(content), f" {content.place.ar}."]


def _predicate_ar(content: Content) -> list[_Piece]:
    return _clause_ar(content, _Marked(lexicon.SUBJECT_DEFINITE_AR, "noun"))


def _presenting_ar(content: Content) -> list[_Piece]:
    return _clause_ar(content, _Marked(lexicon.DEMONSTRATIVE_AR, "demonstrative"))


_ENGLISH: dict[Corner, _Frame] = {
    "upper left": _outfit_en,
    "upper right": _pronoun_free_en,
    "lower left": _predicate_en,
    "lower right": _presenting_en,
}
_ARABIC: dict[Corner, _Frame] = {
    "upper left": _outfit_ar,
    "upper right": _pronoun_free_ar,
    "lower left": _predicate_ar,
    "lower right": _presenting_ar,
}
