"""What a gender labeller says of a caption, and the files its words come from."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

Gender = Literal["female", "male"]
CaptionGender = Literal["male", "female", "both", "neutral", "none"]
Referent = Literal["subject", "other", "possessor", "object"]
Kind = Literal["noun", "title", "adjective", "verb", "pronoun", "possessive", "demonstrative", "name"]


class GenderedWord(NamedTuple):
    """A stretch of a caption that tells somebody's gender: `caption[start:end]`.

    `referent` says whose: the person the caption is about, another person, the owner of something, or the one that
    something is done to. A `name` is a given name, the weakest evidence (`core.data.given_names`).
    """

    start: int
    end: int
    text: str
    gender: Gender
    referent: Referent
    kind: Kind

    @property
    def side(self) -> Gender:
        """The side of the concept that it tells."""
        return self.gender


class GenderLabel(NamedTuple):
    """A caption's gender and the words that tell it, in reading order.

    `both` where people of both genders are named; `neutral` where people are named but no gender; `none` where nobody
    is named.
    """

    gender: CaptionGender
    tokens: tuple[GenderedWord, ...]
    ambiguous: bool = False
    """The words allow another reading that changes the label: `her` where only a boat could be meant, or a name and a
    pronoun that disagree. `gender` is the likelier reading's label; `prepare` counts and lists such captions."""


def label_of(tokens: list[GenderedWord], names_people: bool, ambiguous: bool = False) -> GenderLabel:
    """The label that follows from a caption's gendered words; contradicted names are taken out before."""
    genders = {token.gender for token in tokens}
    ordered = tuple(sorted(tokens))
    if len(genders) == 2:
        return GenderLabel("both", ordered, ambiguous)
    if genders:
        return GenderLabel(genders.pop(), ordered, ambiguous)
    return GenderLabel("neutral" if names_people else "none", ordered, ambiguous)


@cache
def lexicon_file(name: str) -> dict[str, Any]:
    """A lexicon that ships with the package."""
    text = (files("core.data") / "lexicons" / f"{name}.json").read_text(encoding="utf-8")
    lexicon: dict[str, Any] = json.loads(text)
    return lexicon
