"""The word that stands in a gendered word's place where the other gender is spoken of."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from core.data.concept import ConceptWord
from core.data.english_lexicon import english_lexicon
from core.data.gender import label_caption

_ENGLISH = (
    "woman man, women men, girl boy, girls boys, lady gentleman, ladies gentlemen, she he, "
    "herself himself, mother father, mothers fathers, mom dad, mum dad, daughter son, daughters sons, sister brother, "
    "sisters brothers, wife husband, aunt uncle, niece nephew, grandmother grandfather, grandma grandpa, bride groom, "
    "queen king, princess prince, actress actor, waitress waiter, hostess host, stewardess steward, female male, "
    "females males, policewoman policeman, businesswoman businessman, sportswoman sportsman, firewoman fireman, "
    "saleswoman salesman, fisherwoman fisherman, cowgirl cowboy, schoolgirl schoolboy, bridesmaid groomsman, nun monk, "
    "gal guy"
)
_ARABIC = (
    "امرأة رجل, إمرأة رجل, المرأة الرجل, نساء رجال, النساء الرجال, سيدة رجل, السيدة الرجل, فتاة فتى, الفتاة الفتى, "
    "بنت ولد, البنت الولد, بنات أولاد, أم أب, الأم الأب, ابنة ابن, أخت أخ, زوجة زوج, جدة جد, هي هو, وهي وهو, "
    "هذه هذا, طفلة طفل, الطفلة الطفل, ملكة ملك, أميرة أمير, عروس عريس"
)
_OWNERS = "her his, her him, hers his"
"""Listed apart: which of them stands in the other's place depends on what follows."""
_DOUBTFUL = frozenset({"taken", "seen", "shown", "worn", "driven", "drawn", "held", "made", "back"})
"""What may follow an object as well as belong to somebody."""
_STOPS = ".,;:!?)"
_OWNS = re.compile(r"['’]s?$")
_WORD = re.compile(r"[^\W_]+")


def counterpart_of(caption: str, word: ConceptWord, language: str) -> str | None:
    """The other gender's word in the place of one, without the `'s` of an owner; null where none is sure.

    `her` is `him` where it is an object and `his` where it owns what follows; `his` is `her` before what it owns and
    `hers` on its own. Arabic nouns that end in ة and verbs that begin with ت have regular counterparts; a noun's counts
    where the labeller knows it as the other gender's.
    """
    written = _OWNS.sub("", caption[word.start : word.end])
    find = _english if language == "en" else _arabic
    other = find(caption, word, written.lower())
    if other is None:
        return None
    if written.isupper() and len(written) > 1:
        return other.upper()
    return other.capitalize() if written[0].isupper() else other


def _english(caption: str, word: ConceptWord, written: str) -> str | None:
    if written in ("her", "his"):
        return _owner_or_object(caption, word, written)
    return {"him": "her", "hers": "his"}.get(written) or _tables()["en"].get(written)


def _owner_or_object(caption: str, word: ConceptWord, written: str) -> str | None:
    rest = caption[word.end :].lstrip()
    follows = _WORD.search(rest)
    ends = follows is None or rest[0] in _STOPS
    behind = follows.group().lower() if follows else ""
    if written == "his":
        alone = ends or (behind != "back" and english_lexicon().holds(behind, "ends_her"))
        return "hers" if alone else "her"
    if ends or (word.kind == "pronoun" and behind != "back"):
        return "him"
    # A photo of her holding a cat, a bag on her back: object and owner look alike.
    doubtful = behind.endswith(("ing", "ed")) or behind in _DOUBTFUL
    return None if doubtful else "his"


def _arabic(caption: str, word: ConceptWord, written: str) -> str | None:
    return _tables()["ar"].get(written) or _by_ending(word, written)


def _by_ending(word: ConceptWord, written: str) -> str | None:
    female = word.side == "female"
    if word.kind == "verb":
        own, other = ("ت", "ي") if female else ("ي", "ت")
        regular = written.startswith(own) and len(written) > 2 and not written.endswith(("ون", "ن", "وا"))
        return other + written[1:] if regular else None
    if word.kind != "noun":
        return None
    other = written.removesuffix("ة") if female else written + "ة"
    known = label_caption(other, "ar")
    return other if other != written and known.gender == ("male" if female else "female") else None


def listed_pairs(language: str) -> Sequence[tuple[str, str]]:
    """The listed words of a language that have a counterpart, the female one first."""
    return _pairs(f"{_OWNERS}, {_ENGLISH}" if language == "en" else _ARABIC)


def _pairs(listed: str) -> list[tuple[str, str]]:
    return [(female, male) for female, male in (pair.split(" ") for pair in listed.split(", "))]


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    return {"en": _table(_ENGLISH), "ar": _table(_ARABIC)}


def _table(pairs: str) -> dict[str, str]:
    """Each word's counterpart; of several, the one that stands first."""
    table: dict[str, str] = {}
    for female, male in _pairs(pairs):
        table.setdefault(female, male)
        table.setdefault(male, female)
    return table
