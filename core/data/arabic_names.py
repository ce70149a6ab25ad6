"""Given names in an Arabic caption."""

from typing import NamedTuple

from core.data.arabic import Stripped, strippings
from core.data.arabic_lexicon import arabic_lexicon
from core.data.arabic_people import People
from core.data.gender_words import Gender
from core.data.given_names import NameGender, given_name

_PARENTS = frozenset({"ام", "ابو", "ابا", "ابي"})


class Name(NamedTuple):
    """Words `start` to `end` (half open) that are a name; `gender` is null where both genders bear it."""

    start: int
    end: int
    stripped: Stripped
    gender: Gender | None


def add_names(people: People) -> None:
    """Add the given names of a caption to its people; a family name behind one, and the child of أم علي, are none."""
    end = -1
    for index in range(len(people.readings)):
        follows = index == end and not people.readings[index].lexeme.joins
        if index < end or index in people.found or index in people.nobody:
            continue
        if follows and _name(people, index) is not None:
            end += 1
        elif not _is_of_a_parent(people, index) and (name := _name(people, index)) is not None:
            people.add_name(*name)
            end = name.end


def _is_of_a_parent(people: People, index: int) -> bool:
    before = people.found.get(index - 1)
    return before is not None and before.stripped.stem in _PARENTS and not people.readings[index].lexeme.joins


def _name(people: People, index: int) -> Name | None:
    reading = people.readings[index]
    if reading.lexeme.is_definite or people.phrases.roles[index] not in ("noun", "verb"):
        return None
    is_person = _is_person(people, index)
    for stripped in _ways(people, index):
        after = people.readings[index + 1 : index + 2]
        for end, word in ((2, f"{stripped.stem} {after[0].word.folded}" if after else ""), (1, stripped.stem)):
            known = given_name(word, "ar", is_person)
            if known is None or (known == "neutral" and not is_person):
                continue
            if end == 2 or is_person or _is_only_a_name(people, index, stripped):
                return Name(index, index + end, stripped, _gender(known))
    return None


def _gender(known: NameGender) -> Gender | None:
    return None if known == "neutral" else known


def _ways(people: People, index: int) -> list[Stripped]:
    folded = people.readings[index].word.folded
    ways = strippings(folded)[:1] if folded in arabic_lexicon().sets["whole"] else strippings(folded)
    return [way for way in ways if not way.owner and not way.is_definite and not way.is_future]


def _is_only_a_name(people: People, index: int, stripped: Stripped) -> bool:
    """Whether the word is nothing else here, and names no place (Muhammad Street)."""
    lexeme = people.readings[index].lexeme
    if people.readings[index].within("names_too") or stripped.preposition in ("ب", "ك"):
        return False
    if lexeme.adjective or lexeme.being or lexeme.people or lexeme.owned:
        return False
    before = people.readings[index - 1] if index else None
    if before is None or lexeme.joins:
        return True
    return not before.within("named_places") and not before.within("named_things")


def _is_person(people: People, index: int) -> bool:
    """Whether a title or a noun for people stands before it, or it does what only people do."""
    before, lexeme = people.found.get(index - 1), people.readings[index].lexeme
    if before is not None and lexeme.joins and before.name_end is not None:
        return True  # زينب وحسن
    if before is not None and not lexeme.joins and before.name_end is None:
        titled = people.readings[index - 1].lexeme.is_definite or people.readings[index - 1].within("titled")
        return before.person.gender is not None and titled
    after = index + 1
    if after < len(people.readings) and people.readings[after].lexeme.joins:
        ways = [way for way in _ways(people, after) if way.proclitics]
        if any(
            given_name(way.stem, "ar") in ("female", "male") and _is_only_a_name(people, after, way) for way in ways
        ):
            return True  # عمر وسلمى
    return people.phrases.heads(index) and people.does(index, None)
