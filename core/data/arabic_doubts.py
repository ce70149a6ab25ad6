"""Nouns of an Arabic caption that name people only where grammar says so.

Those that mostly mean things, adjectives that stand for a person, one noun for both genders, ه written for ة, and words
that the lexicon does not have.
"""

import re

from core.data.arabic import OWNER_GENDERS, Stripped
from core.data.arabic_contexts import neighbour
from core.data.arabic_lexicon import Person
from core.data.arabic_people import People
from core.data.arabic_phrases import looks_feminine
from core.data.gender_words import Gender

_AGENT = re.compile("(?!م.ا.ة).ا..ة|(?!م.ا.ة)..ا.ة|م[^ا]..+ة|.*ية")
"""Shapes of who does something: كاتبة, خزافة, مدربة, صحفية; not of a place (منارة)."""


def settle(people: People) -> None:
    """Add the people whom agreement and neighbours tell among the caption's doubtful words."""
    for index, candidate in enumerate(people.candidates):
        if index in people.found:
            continue
        if people.readings[index].lexeme.heh is not None:
            _settle_heh(people, index)
        elif candidate is not None:
            _settle(people, index, *candidate)


def add_unknown(people: People) -> None:
    """Take nouns that the lexicon does not have for people where they do what only people do; names come first."""
    for index in range(len(people.readings)):
        if index not in people.found and _is_unknown(people, index):
            gender: Gender = "female" if looks_feminine(people.readings[index]) else "male"
            if people.does(index, gender):
                people.ambiguous = True
                people.add_unknown(index, gender)


def _settle(people: People, index: int, stripped: Stripped, person: Person) -> None:
    match person.sort:
        case "epicene" if people.phrases.heads(index) or _is_shown(people, index):
            gender = None  # وجه عجوز مبتسم: the face is
            if people.phrases.heads(index):
                gender = people.agreement(index) or _owner_behind(people, index)
            people.ambiguous |= gender is None and person.gender is not None
            people.add(index, stripped, person, gender)
        case "couple":
            people.add(index, stripped, person)
        case "spouses":
            is_married = any(reading.within("marriage") for reading in people.readings)
            people.add(index, stripped, person._replace(sort="couple" if is_married else "sure"))
        case "plural too" if not _agrees_like_things(people, index):
            people.add(index, stripped, person)
        case "attribute" if _stands_alone(people, index, person):
            people.add(index, stripped, person)
        case "doubtful" if _is_a_person(people, index, stripped, person):
            people.add(index, stripped, person)


def _owner_behind(people: People, index: int) -> Gender | None:
    """The gender of the pronoun that speaks of the only person before it: العجوز وزوجته."""
    if people.before(index):
        return None
    for reading in people.readings[index + 1 :]:
        ways = [way for way, _ in reading.lexeme.people] + [reading.lexeme.owned]
        genders = [OWNER_GENDERS.get(way.owner) for way in ways if way is not None]
        if (gender := next((gender for gender in genders if gender is not None), None)) is not None:
            return gender
    return None


def _is_a_person(people: People, index: int, stripped: Stripped, person: Person) -> bool:
    if person.gender is None and index + 1 in people.phrases.verbs and people.subject(index + 1) == index:
        return True  # مجموعة تسير: a group of nothing that is named
    if people.acts(index, person.gender):
        return True
    earlier = people.before(index)
    return bool(earlier) and people.found[earlier[-1]].stripped.stem + "ة" == stripped.stem  # مدرس ومدرسة


def _is_shown(people: People, index: int) -> bool:
    """Whether a noun stands behind a picture, a face or a hand of somebody."""
    before = neighbour(people.readings, index - 1)
    return before is not None and before.within("shown") and not people.readings[index].lexeme.joins


def _agrees_like_things(people: People, index: int) -> bool:
    """Whether the plural of a thing is meant: its adjective or verb is feminine, or a crop completes it."""
    agrees, after = people.agreement(index), neighbour(people.readings, index + 1)
    return agrees == "female" or (agrees is None and after is not None and after.within("crops"))


def _stands_alone(people: People, index: int, person: Person) -> bool:
    """Whether an adjective like `Japanese` is nobody's attribute, nor a language."""
    phrase, lexeme = people.phrases.of.get(index), people.readings[index].lexeme
    if phrase is None or phrase.head != index:
        return False
    if lexeme.is_definite and not person.is_plural:
        return people.does(index, person.gender) or phrase.governor == "verb"
    if index == 0 or phrase.start < index:
        return True
    if lexeme.joins:  # Egyptian and Moroccan dishes
        before = people.phrases.of.get(index - 1)
        return index - 1 in people.found or (before is not None and before.head in people.found)
    return not people.readings[index - 1].within("places_in") and not lexeme.preposition


def _settle_heh(people: People, index: int) -> None:
    """A noun in ه is feminine where grammar says so; `his friend` where it does not."""
    lexeme, masculine = people.readings[index].lexeme, people.candidates[index]
    assert lexeme.heh is not None
    stripped, feminine = lexeme.heh
    if lexeme.adjective is not None and people.gender(index - 1) == "female" and not lexeme.joins:
        return  # طبيبه شابه: an adjective
    agrees = "female" if _has_complement(people, index) else people.agreement(index)
    if feminine.sort == "doubtful" and not (agrees == "female" and people.acts(index, "female")):
        if masculine is not None and (agrees == "male" or masculine[1].gender == "female"):
            people.add(index, *masculine)
    elif lexeme.heh_is_sure or masculine is None or agrees == "female":
        people.add(index, stripped, feminine)
    elif agrees == "male" or (_dots(people) is not False and _has_owner(people, index)):
        people.add(index, *masculine)
    elif _dots(people) is False and not masculine[1].is_relation:
        people.add(index, stripped, feminine)
    else:
        people.ambiguous = True
        is_owned = masculine[1].is_relation or _dots(people) is True
        people.add(index, *(masculine if is_owned else lexeme.heh))


def _has_owner(people: People, index: int) -> bool:
    """Whether somebody before the word may own it: a man, a person of no known gender, a masculine verb's subject."""
    verbs = [people.phrases.verb(at).gender for at in people.phrases.verbs if at < index]
    return "male" in verbs or any(people.gender(at) != "female" for at in people.before(index))


def _has_complement(people: People, index: int) -> bool:
    """Whether a noun completes the word, which then has no owner's pronoun: بائعه الخضار."""
    phrase, masculine = people.phrases.of.get(index), people.candidates[index]
    is_kin = masculine is not None and masculine[1].is_relation
    if is_kin or phrase is None or phrase.governor == "verb" or index + 1 >= phrase.end:
        return False
    after = people.readings[index + 1].lexeme
    is_noun = bool(after.being or people.readings[index + 1].within("owned")) or not after.is_definite
    return is_noun and after.adjective is None and not after.preposition


def _dots(people: People) -> bool | None:
    """Whether the writer puts the dots on another ة, or leaves them off one that its article shows."""
    if any(reading.word.folded.endswith("ة") for reading in people.readings):
        return True
    for reading in people.readings:
        if reading.lexeme.is_definite and reading.word.folded.endswith("ه") and not reading.within("ends_in_heh"):
            return False
    return None


def _is_unknown(people: People, index: int) -> bool:
    """Whether a noun opens its sentence, is none that the lexicon has, and could name a person by its shape."""
    phrase, reading = people.phrases.of.get(index), people.readings[index]
    if phrase is None or phrase.head != index or phrase.governor or index in people.nobody:
        return False
    lexeme, word = reading.lexeme, reading.word.folded.removeprefix("ال")
    if people.candidates[index] is not None or lexeme.heh is not None:
        return False
    is_known = lexeme.being or lexeme.adjective or lexeme.owned or lexeme.pronoun
    if is_known or any(reading.within(name) for name in ("groups", "quantifiers", "seen_by_me")):
        return False
    opens = all(
        at.start >= index or people.readings[at.start].sentence != reading.sentence for at in people.phrases.all
    )
    return opens and not word.endswith("ات") and (not word.endswith("ة") or _AGENT.fullmatch(word) is not None)
