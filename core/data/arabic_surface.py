"""The surface form of Arabic words: which gender a word's ending shows, whatever it speaks of.

Form and meaning part where a word names no person (المدرسة is feminine, whoever stands in it), where something is owned
(كتابها is a masculine noun with a female owner) and where the generic masculine speaks of a woman.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

from core.data.arabic_phrases import Phrases
from core.data.arabic_words import ParsedWord, read
from core.data.gender import label_caption
from core.data.gender_words import Gender, GenderedWord

Sort = Literal["person", "owned", "other"]
"""person: a noun, adjective, name or verb that tells the gender of the one the caption is about. owned: a thing with
its owner's pronoun. other: a noun or an adjective of nobody."""
Ending = Literal["ة", "ات", ""]
Pronoun = Literal["ها", "تها", "نها"]
SORTS: tuple[Sort, ...] = ("person", "owned", "other")
ENDINGS: tuple[Ending, ...] = ("ة", "ات")
PRONOUNS: tuple[Pronoun, ...] = ("ها", "تها", "نها")
_OWNERS = {"ها": "female", "ه": "male"}
_SHORT = 4
"""Letters of the shortest word whose ات is a plural's rather than its root's."""
_DOUBTFUL = ("اء", "ى", "ا")
"""Endings of either gender: شقراء is a woman, علماء are men, مستشفى is masculine."""


class SurfaceWord(NamedTuple):
    """A word of a caption, `caption[start:end]`, and the gender that its form shows.

    `form` is that of the noun, adjective or verb itself, `ending` what shows it; `pronoun` the feminine suffix that the
    owner's pronoun is, or is the counterpart of (ته of تها), and `owner` the form of that pronoun. `stem` is the same
    in both genders and with any pronoun.
    """

    start: int
    end: int
    sort: Sort
    stem: str
    form: Gender
    ending: Ending
    pronoun: Pronoun | None = None
    owner: Gender | None = None
    is_verb: bool = False


@lru_cache(maxsize=65536)
def surface_words(text: str) -> tuple[SurfaceWord, ...]:
    """The words of an Arabic caption that have a form, in reading order.

    Left out: pronouns, demonstratives, prepositions, verbs of things, people other than the one the caption is about,
    and words whose ending either gender has (اء, ى, ا).
    """
    readings = read(text)
    roles = Phrases(readings).roles
    tokens = label_caption(text, "ar").tokens
    found = []
    for index, reading in enumerate(readings):
        told = [token for token in tokens if token.start < reading.word.end and token.end > reading.word.start]
        word = _spoken_of(reading, told) if told else _thing(reading, roles[index])
        if word is not None:
            found.append(word)
    return tuple(found)


def _spoken_of(reading: ParsedWord, told: list[GenderedWord]) -> SurfaceWord | None:
    """A word that tells somebody's gender: one thing told, of the person that the caption is about or of an owner."""
    (one, *others) = told
    if others or one.kind in ("pronoun", "demonstrative"):
        return None
    if one.kind == "possessive":
        return _owned(reading)
    if one.referent != "subject":
        return None
    if one.kind == "verb":
        return _verb(reading, one.gender)
    return _by_ending(reading, "person")


def _thing(reading: ParsedWord, role: str) -> SurfaceWord | None:
    lexeme = reading.lexeme
    if role != "noun" or lexeme.pronoun or lexeme.demonstrative or lexeme.relative or lexeme.heh is not None:
        return None
    return _owned(reading) if lexeme.owned is not None else _by_ending(reading, "other")


def _owned(reading: ParsedWord) -> SurfaceWord | None:
    owned = reading.lexeme.owned
    if owned is None or owned.owner not in _OWNERS:
        return None
    is_feminine = owned.stem.endswith("ة")
    before = reading.word.folded[: -len(owned.owner)][-1]
    pronoun: Pronoun = "تها" if before == "ت" else "نها" if before == "ن" else "ها"
    owner: Gender = "female" if owned.owner == "ها" else "male"
    form: Gender = "female" if is_feminine else "male"
    word = reading.word
    return SurfaceWord(word.start, word.end, "owned", owned.stem, form, "ة" if is_feminine else "", pronoun, owner)


def _by_ending(reading: ParsedWord, sort: Sort) -> SurfaceWord | None:
    if reading.word.spelt.endswith(_DOUBTFUL):
        return None
    written = reading.word.folded
    if written.endswith("ة"):
        return _word(reading, sort, "female", "ة")
    if written.endswith("ات") and len(_bare(reading)) >= _SHORT:
        return _word(reading, sort, "female", "ات")
    return _word(reading, sort, "male", "")


def _word(reading: ParsedWord, sort: Sort, form: Gender, ending: Ending) -> SurfaceWord:
    return SurfaceWord(reading.word.start, reading.word.end, sort, _bare(reading).removesuffix(ending), form, ending)


def _verb(reading: ParsedWord, form: Gender) -> SurfaceWord:
    """A verb shows its gender in front (تقرأ, يقرأ) or by the ت of the past."""
    bare = _bare(reading)
    stem = bare[1:] if bare[0] in ("ت", "ي") else bare.removesuffix("ت")
    return SurfaceWord(reading.word.start, reading.word.end, "person", stem, form, "", is_verb=True)


def _bare(reading: ParsedWord) -> str:
    """The letters without `and` and the article."""
    letters = reading.word.folded[1:] if reading.lexeme.joins else reading.word.folded
    return letters[2:] if reading.lexeme.is_definite and letters[:2] in ("ال", "لل") else letters
