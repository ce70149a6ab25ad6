"""What an Arabic word can be by itself: a person, a verb, an adjective, a pronoun, something owned."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from core.data.arabic import OWNER_GENDERS, Stripped, strippings
from core.data.arabic_lexicon import Adjective, ArabicLexicon, Number, Person, Verb, arabic_lexicon
from core.data.gender_words import Gender

Being = Literal["", "animal", "figure", "thing"]

# After stripping, two letters are rarely what they look like: باب is a door, وجد is `found`.
SHORT = 2
_SHORT_AFTER_AND = frozenset({"ام", "اب", "اخ"})
_MINE = frozenset(
    {"استاذ", "معلم", "مدرب", "طبيب", "مدير", "طفل", "ولد", "سيد", "صبي", "اطفال", "اولاد", "بنت", "بنات"}
)
_LOOKS_PRESENT = re.compile("[يت](?!..ي.$)[^ة]{3,6}(?<!ات)")
"""ي or ت and a stem, but no verbal noun of form II (تجميل)."""
_PRESENT_ENDINGS: tuple[tuple[str, Gender | None], ...] = (
    ("ون", "male"),
    ("وا", "male"),
    ("ان", None),
    ("ن", "female"),
    ("", None),
)


class Lexeme(NamedTuple):
    """A written word and everything it can be, whatever stands beside it."""

    people: tuple[tuple[Stripped, Person], ...]
    """Persons, the longest stem first."""
    bearers: tuple[Stripped, ...]
    """The word as حامل or حاملة, whose gender and kind its neighbours tell."""
    heh: tuple[Stripped, Person] | None
    """The feminine person that the word is if its ه is a ة written without dots."""
    heh_is_sure: bool
    """Nothing else can be meant: the word has the article, or names nobody without its ه."""
    owned: Stripped | None
    """Something with its owner's pronoun."""
    prepositional: Stripped | None
    """A preposition with its pronoun."""
    adjective: Adjective | None
    verbs: tuple[Verb, ...]
    guess: Verb | None
    """What the word is if it is a verb that the lexicon does not have: only behind somebody of no known gender."""
    embraced: Stripped | None
    """A verb that people do to people, with the pronoun behind it (يعانقها)."""
    pronoun: Gender | None
    demonstrative: Gender | None
    relative: Gender | None
    kind: Gender | None
    """The gender of a whole group (فريق نسائي)."""
    is_preposition: bool
    preposition: str
    """A preposition of one letter that the word begins with (ل of للسيدات)."""
    being: Being
    stems: frozenset[str]
    """The word without its clitics, in every way they come off."""
    joins: bool
    """The word begins with و or ف, `and`."""
    is_definite: bool


@lru_cache(maxsize=65536)
def lexeme(folded: str, spelt: str, has_shadda: bool = False) -> Lexeme:
    """Everything that a written word can be by itself."""
    lexicon = arabic_lexicon()
    base = folded[1:] if folded[:1] in ("و", "ف") else folded
    keys = (folded, base)
    whole = folded in lexicon.sets["whole"]
    ways = strippings(folded)[:1] if whole else _without_conjunction(lexicon, strippings(folded))
    people = tuple(_people(lexicon, ways, folded, spelt, has_shadda))
    heh = None if whole else _heh(lexicon, folded)
    stems = frozenset(way.stem for way in ways if not way.owner) | {base}
    prepositional = _prepositional(lexicon, folded, ways)
    verbs = _verbs(lexicon, ways, spelt)
    return Lexeme(
        people=people,
        bearers=tuple(way for way in ways if way.stem in lexicon.sets["bearers"]),
        heh=heh,
        heh_is_sure=heh is not None and (heh[0].is_definite or not any(way.owner == "ه" for way, _ in people)),
        owned=next((way for way in ways if way.owner and way.stem in lexicon.sets["owned"]), None),
        prepositional=prepositional,
        adjective=_adjective(lexicon, folded, ways),
        verbs=verbs,
        guess=None if verbs else _guess(lexicon, ways),
        embraced=_object(lexicon, ways),
        pronoun=_first(lexicon.genders["subject_pronouns"], keys),
        demonstrative=_first(lexicon.genders["demonstratives"], (*keys, folded[1:])),
        relative=_first(lexicon.genders["relatives"], keys),
        kind=_first(lexicon.genders["kinds"], tuple(stems)),
        is_preposition=prepositional is None and not lexicon.sets["prepositions"].isdisjoint(keys),
        preposition=_preposition(lexicon, ways),
        being=_being(lexicon, ways, folded),
        stems=stems,
        joins=not whole and folded != base and len(base) > 1 and folded not in lexicon.people,
        is_definite=any(way.is_definite for way in ways) and not spelt.startswith("آل"),
    )


def _without_conjunction(lexicon: ArabicLexicon, ways: tuple[Stripped, ...]) -> tuple[Stripped, ...]:
    """The ways that leave a known thing its first letter, if there are any: وسادتها is no `and her men`."""
    known = [way for way in ways if way.proclitics == 0]
    is_thing = any(
        way.owner and (way.stem in lexicon.sets["whole"] or way.stem in lexicon.sets["agents"]) for way in known
    )
    return tuple(known) if is_thing else ways


def _first(genders: dict[str, Gender], keys: tuple[str, ...]) -> Gender | None:
    return next((genders[key] for key in keys if key in genders), None)


def _people(
    lexicon: ArabicLexicon, ways: tuple[Stripped, ...], folded: str, spelt: str, has_shadda: bool
) -> list[tuple[Stripped, Person]]:
    found = []
    for way in ways:
        person = lexicon.people.get(way.stem)
        if person is None and (way.owner or not way.is_definite) and way.owner not in ("ي", "ك"):
            person = lexicon.constructs.get(way.stem)
        if person is None or way.is_future or not _is_possible(lexicon, way, person, folded, spelt):
            continue
        if way.is_definite and way.stem in lexicon.sets["definite_doubtful"]:
            person = person._replace(sort="doubtful")  # البحار are the seas
        if way.stem in lexicon.sets["only_with_shadda"] and not has_shadda:
            continue  # كتّاب, writers, not كتاب
        if has_shadda and way.stem in lexicon.sets["sure_with_shadda"]:
            person = person._replace(sort="sure")
        found.append((way, person))
    return found


def _is_possible(lexicon: ArabicLexicon, way: Stripped, person: Person, folded: str, spelt: str) -> bool:
    written = spelt[way.proclitics : way.proclitics + len(way.stem)]
    if "آ" in spelt and way.stem not in lexicon.with_madda:
        return False
    if not _is_spelt(written, lexicon.spelt.get(way.stem, "")):
        return False
    if (way.is_definite or way.preposition) and _is_accusative(lexicon, way.stem):
        return False  # كاميرا is no `like a prince`
    if way.stem in lexicon.sets["indefinite_only" if way.is_definite else "definite_only"]:
        return False
    if way.stem == "مراة" and not way.is_definite:
        return False  # المرأة without its article is امرأة
    if way.stem in lexicon.sets["needs_owner"] and not way.owner:
        return False
    if way.owner in ("ي", "ك") and not _can_be_mine(way.stem, person):
        return False  # عالمي is `global`
    if len(way.stem) > SHORT or way.proclitics == 0 or way.is_definite:
        return True
    if way.owner and written[:1] == "أ":
        return True  # لأمه, but not بابه
    return way.stem in _SHORT_AFTER_AND and not way.preposition


def _is_spelt(written: str, form: str) -> bool:
    """Whether a word is written with the hamza under its alef (إمام, not أمام) and the dots of its ي (موسيقي)."""
    return (form[:1] != "إ" or written[:1] == "إ") and (form[-1:] != "ي" or written[-1:] != "ى")


def _is_accusative(lexicon: ArabicLexicon, stem: str) -> bool:
    return stem.endswith("ا") and stem[:-1] in lexicon.people


def _can_be_mine(stem: str, person: Person) -> bool:
    if person.sort != "sure" or person.gender is None:
        return False
    return person.is_relation or stem.endswith("ة") or stem in _MINE


def _heh(lexicon: ArabicLexicon, folded: str) -> tuple[Stripped, Person] | None:
    """The feminine noun in ة that the word is if ه stands for ة."""
    if not folded.endswith("ه") or len(folded) <= SHORT:
        return None
    for way in strippings(folded[:-1] + "ة"):
        person = lexicon.people.get(way.stem)
        if person is None or person.gender != "female" or way.owner or way.is_future:
            continue
        if way.is_definite or way.stem != "مراة":
            return way, person
    return None


def _prepositional(lexicon: ArabicLexicon, folded: str, ways: tuple[Stripped, ...]) -> Stripped | None:
    for way in ways:
        if OWNER_GENDERS.get(way.owner) is not None and way.stem in lexicon.sets["prepositional"]:
            return way
    for owner in ("ها", "ه"):  # لها and به: the preposition alone is too short to be a stem
        head = folded.removesuffix(owner).removeprefix("و")
        if folded.endswith(owner) and head in ("ل", "ب"):
            return Stripped(head, 0, owner, False, False, "")
    return None


def _adjective(lexicon: ArabicLexicon, folded: str, ways: tuple[Stripped, ...]) -> Adjective | None:
    for way in (*ways, *(strippings(folded[:-1] + "ة") if folded.endswith("ه") else ())):
        if not way.owner and not way.preposition and way.stem in lexicon.adjectives:
            return lexicon.adjectives[way.stem]
    return None


def _preposition(lexicon: ArabicLexicon, ways: tuple[Stripped, ...]) -> str:
    """The first way that leads to a word tells: لحم is meat, لطفل is `for a child`."""
    known = ("agents", "animals", "figures", "owned")
    for way in ways:
        if way.is_definite or way.stem in lexicon.people or any(way.stem in lexicon.sets[name] for name in known):
            return way.preposition
    return ""


def _being(lexicon: ArabicLexicon, ways: tuple[Stripped, ...], folded: str) -> Being:
    names: tuple[tuple[str, Being], ...] = (("animals", "animal"), ("figures", "figure"), ("agents", "thing"))
    for way in (*ways, *(strippings(folded[:-1] + "ة") if folded.endswith("ه") else ())):
        for name, being in names if way.owner not in ("ي", "ك") else ():
            if way.stem in lexicon.sets[name] and (way.is_definite or way.proclitics == 0 or len(way.stem) > SHORT):
                return being
    return ""


def _verbs(lexicon: ArabicLexicon, ways: tuple[Stripped, ...], spelt: str) -> tuple[Verb, ...]:
    found: list[Verb] = []
    for way in ways:
        dialect = way.preposition == "ب" and way.stem[0] in "يت"  # بيلعب, بتلعب
        if way.is_definite or (way.preposition in ("ب", "ك") and not dialect) or way.owner in ("ي", "ك"):
            continue
        if way.stem in lexicon.past and not way.is_future and not way.preposition:
            found.append(lexicon.past[way.stem])
        found += _present(lexicon, way.stem, spelt)
    return tuple(dict.fromkeys(found))


def _guess(lexicon: ArabicLexicon, ways: tuple[Stripped, ...]) -> Verb | None:
    stems = [way.stem for way in ways if not (way.owner or way.is_definite or way.preposition)]
    if any(stem in lexicon.people or stem in lexicon.adjectives for stem in stems):
        return None
    for stem in stems:
        if _LOOKS_PRESENT.fullmatch(stem):
            gender: Gender = "female" if stem[0] == "ت" or (stem.endswith("ن") and not stem.endswith("ون")) else "male"
            return Verb(gender, "alone", is_noun_too=True)
    return None


def _present(lexicon: ArabicLexicon, stem: str, spelt: str) -> list[Verb]:
    """Read ي and ت in front as third person; ت is second person too, which captions do not use."""
    if stem[:1] not in ("ي", "ت"):
        return []
    by_prefix: Gender = "male" if stem[0] == "ي" else "female"
    for ending, by_ending in _PRESENT_ENDINGS:
        root = stem[1 : len(stem) - len(ending)]
        if not stem.endswith(ending) or not root:
            continue
        verb = lexicon.present.get(root)
        if verb is None and by_ending is not None:
            verb = (lexicon.present_masculine if by_ending == "male" else lexicon.present_feminine).get(root)
        if verb is not None:
            if ending == "ن" and "آن" in spelt:  # يقرآن are two
                by_ending = None
            is_noun_too = stem in lexicon.sets["verbal_nouns"]
            gender = by_ending or by_prefix
            number: Number = "many" if by_ending is not None else "two" if ending else "one"
            return [verb._replace(gender=gender, number=number, is_noun_too=is_noun_too)]
    return []


def _object(lexicon: ArabicLexicon, ways: tuple[Stripped, ...]) -> Stripped | None:
    for way in ways:
        if OWNER_GENDERS.get(way.owner) is not None and way.stem in lexicon.embraced:
            return way
    return None
