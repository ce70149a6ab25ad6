"""Given names of people: weaker evidence of gender than any other word of a caption."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from core.data.arabic import normalise
from core.data.gender_words import Gender, GenderedWord, lexicon_file
from core.data.languages import Language

NameGender = Literal["female", "male", "neutral"]
_AGREEING = ("pronoun", "possessive", "verb", "adjective", "demonstrative")


def given_name(word: str, language: Language, is_person: bool = False) -> NameGender | None:
    """The gender that a given name tells; `neutral` where both genders bear it, None where it is no name we know.

    Args:
        word: English in the case it is written in, for only a capitalised word is a name (or all capitals); Arabic
            without clitics, folded by `core.data.arabic.normalise` (`عبد الرحمن` is one name, with its space).
        language: en or ar.
        is_person: the caption shows otherwise that the word stands for a person. Names that are words or places too
            (Rose, Mark, Charlotte, سعيد, جميلة) are known only then.
    """
    if language == "en":
        if not word[:1].isupper():
            return None
        word = word.lower()
    sure, words = _names(language)
    return sure.get(word) or (words.get(word) if is_person else None)


def weigh_names(tokens: Sequence[GenderedWord], others: Iterable[int] = ()) -> list[GenderedWord]:
    """The tokens without the names that a stronger word contradicts.

    A pronoun, possessive or agreeing word of the other gender contradicts a name before it, a verb also behind it,
    where the caption names nobody else whom it could speak of. A noun that describes the bearer (`Sam, a woman`) is for
    the caller to find.

    Args:
        tokens: a caption's gendered words, names among them.
        others: where the people stand whom the caption names without a gender.
    """
    neutral = list(others)
    return [token for token in tokens if token.kind != "name" or not _is_contradicted(token, tokens, neutral)]


def _is_contradicted(name: GenderedWord, tokens: Sequence[GenderedWord], neutral: list[int]) -> bool:
    against = [token for token in tokens if token.gender != name.gender]
    if any(token.kind not in _AGREEING for token in against):
        return False  # somebody of the other gender is named
    speaking = [token for token in against if token.referent != "object"]
    return any(
        (name.end <= token.start or token.kind == "verb") and not any(start < token.start for start in neutral)
        for token in speaking
    )


@cache
def _names(language: str) -> tuple[dict[str, NameGender], dict[str, NameGender]]:
    """Names that are nothing else, and names that are words too, folded."""
    lists: dict[str, list[str]] = lexicon_file("names")[language]
    fold = str.lower if language == "en" else normalise
    genders: tuple[Gender, ...] = ("female", "male")
    sure: dict[str, NameGender] = {fold(name): gender for gender in genders for name in lists[gender]}
    sure.update({fold(name): "neutral" for name in lists["neutral"]})
    words: dict[str, NameGender] = {fold(name): gender for gender in genders for name in lists[f"{gender}_words"]}
    return sure, words
