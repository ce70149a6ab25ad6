"""What each word of an Arabic caption can be: a person, a verb, an adjective, a pronoun, something owned."""

import re
from typing import NamedTuple

from core.data.arabic import Stripped, Word, strippings, words
from core.data.arabic_lexicon import ArabicLexicon, Person, arabic_lexicon
from core.data.gender_words import Gender

_SENTENCE_END = re.compile(r"[.!?؟؛;\n]")
_CLAUSE_END = re.compile(r"[.!?؟؛;\n،,:()\-–]")
_OWNERS: dict[str, Gender] = {"ه": "male", "ها": "female", "هن": "female"}
# After stripping, two letters are rarely what they look like: باب is a door, وجد is `found`.
_SHORT = 2
_SHORT_AFTER_AND = frozenset({"ام", "اب"})
_PRESENT_ENDINGS: tuple[tuple[str, Gender | None], ...] = (
    ("ون", "male"),
    ("وا", "male"),
    ("ان", None),
    ("ن", "female"),
    ("", None),
)


class Verb(NamedTuple):
    """The gender a finite verb agrees with, and whether things do it too."""

    gender: Gender
    things: bool


class Reading(NamedTuple):
    """One word of a caption and everything it can be; what it is, agreement decides."""

    word: Word
    sentence: int
    clause: int
    person: Person | None
    stripped: Stripped
    """How the word splits into clitics and stem, under the reading as a person or as something owned."""
    owner: Gender | None
    is_owned: bool
    is_prepositional: bool
    adjective: Gender | None
    verbs: tuple[Verb, ...]
    pronoun: Gender | None
    demonstrative: Gender | None
    relative: Gender | None
    is_preposition: bool

    @property
    def owner_start(self) -> int:
        """Where in the text the owner's pronoun begins."""
        return self.word.offsets[len(self.word.folded) - len(self.stripped.owner)]


def read(text: str) -> list[Reading]:
    """Read every word of a caption."""
    found = words(text)
    return [_reading(text, found, index) for index in range(len(found))]


def _reading(text: str, found: list[Word], index: int) -> Reading:
    lexicon, word = arabic_lexicon(), found[index]
    base = word.folded[1:] if word.folded[:1] in ("و", "ف") else word.folded
    person, stripped = _person(lexicon, found, index)
    is_owned = is_prepositional = False
    if person is None:
        stripped, is_owned, is_prepositional = _owned(lexicon, word.folded, stripped)
    keys = (word.folded, base)
    return Reading(
        word=word,
        sentence=len(_SENTENCE_END.findall(text, 0, word.start)),
        clause=len(_CLAUSE_END.findall(text, 0, word.start)),
        person=person,
        stripped=stripped,
        owner=_OWNERS.get(stripped.owner) if person is not None or is_owned or is_prepositional else None,
        is_owned=is_owned,
        is_prepositional=is_prepositional,
        adjective=_adjective(lexicon, word),
        verbs=_verbs(lexicon, word),
        pronoun=_first(lexicon.pronouns, keys),
        demonstrative=_first(lexicon.demonstratives, (*keys, word.folded[1:])),
        relative=_first(lexicon.relatives, keys),
        is_preposition=base in lexicon.prepositions or word.folded in lexicon.prepositions,
    )


def _first(genders: dict[str, Gender], keys: tuple[str, ...]) -> Gender | None:
    return next((genders[key] for key in keys if key in genders), None)


def _whole(folded: str) -> Stripped:
    return Stripped(folded, 0, "", False, False, "")


def _person(lexicon: ArabicLexicon, found: list[Word], index: int) -> tuple[Person | None, Stripped]:
    """The longest stem that names a person, the whole word first."""
    word = found[index]
    for stripped in strippings(word.folded):
        person = lexicon.people.get(stripped.stem)
        if person is None or stripped.is_future or (word.has_madda and stripped.stem not in lexicon.madda):
            continue
        if _is_possible(lexicon, stripped) and _fits_context(lexicon, stripped.stem, found, index):
            return person, stripped
    return None, _whole(word.folded)


def _is_possible(lexicon: ArabicLexicon, stripped: Stripped) -> bool:
    if stripped.is_definite:
        return stripped.stem not in lexicon.indefinite_only
    if stripped.stem == "مراة":
        return False  # المرأة without its article is امرأة
    if len(stripped.stem) > _SHORT or stripped.proclitics == 0:
        return True
    return stripped.stem in _SHORT_AFTER_AND and not stripped.preposition


def _fits_context(lexicon: ArabicLexicon, stem: str, found: list[Word], index: int) -> bool:
    before = found[index - 1].folded if index else ""
    after = found[index + 1].folded if index + 1 < len(found) else ""
    if stem in lexicon.only_before and after not in lexicon.only_before[stem]:
        return False
    near = {before, before.removeprefix("ال"), before[1:]}
    return not near & lexicon.unless_after.get(stem, frozenset()) and after not in lexicon.unless_before.get(
        stem, frozenset()
    )


def _owned(lexicon: ArabicLexicon, folded: str, whole: Stripped) -> tuple[Stripped, bool, bool]:
    for stripped in strippings(folded):
        if stripped.owner in _OWNERS and stripped.stem in lexicon.owned:
            return stripped, True, False
        if stripped.owner in _OWNERS and stripped.stem in lexicon.prepositional:
            return stripped, False, True
    for owner in ("ها", "ه"):  # لها and به: the preposition alone is too short to be a stem
        head = folded.removesuffix(owner).removeprefix("و")
        if folded.endswith(owner) and head in ("ل", "ب"):
            return Stripped(head, 0, owner, False, False, ""), False, True
    return whole, False, False


def _adjective(lexicon: ArabicLexicon, word: Word) -> Gender | None:
    for stripped in strippings(word.folded):
        if not stripped.owner and not stripped.preposition and stripped.stem in lexicon.adjectives:
            return lexicon.adjectives[stripped.stem]
    return None


def _verbs(lexicon: ArabicLexicon, word: Word) -> tuple[Verb, ...]:
    found: list[Verb] = []
    for stripped in strippings(word.folded):
        if stripped.is_definite or stripped.preposition in ("ب", "ك") or stripped.owner in ("ي", "ك"):
            continue
        if stripped.stem in lexicon.past and not stripped.is_future:
            found.append(Verb(*lexicon.past[stripped.stem]))
        found += _present(lexicon, stripped.stem)
    return tuple(dict.fromkeys(found))


def _present(lexicon: ArabicLexicon, stem: str) -> list[Verb]:
    """Read ي and ت in front as third person; ت is second person too, which captions do not use."""
    if stem[:1] not in ("ي", "ت"):
        return []
    by_prefix: Gender = "male" if stem[0] == "ي" else "female"
    for ending, by_ending in _PRESENT_ENDINGS:
        root = stem[1 : len(stem) - len(ending)]
        if stem.endswith(ending) and root in lexicon.present:
            return [Verb(by_ending or by_prefix, lexicon.present[root])]
    return []
