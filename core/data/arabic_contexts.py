"""Which reading as a person a word of an Arabic caption has among its neighbours."""

from core.data.arabic import Stripped
from core.data.arabic_lexicon import Person, arabic_lexicon
from core.data.arabic_words import ParsedWord
from core.data.gender_words import Gender

_PARENTS = frozenset({"ابو", "ام"})
_MOTHER = "ام"
_UNCLE = "عم"
_LADY = "ست"
_HOUSE = frozenset({"بيت", "البيت", "الكل", "البنات", "كبيرة", "عجوز"})
_BEARER = "حامل"


def candidates(readings: list[ParsedWord], nobody: frozenset[int]) -> list[tuple[Stripped, Person] | None]:
    """For each word the person it can be, with the clitics taken off to read it so.

    Args:
        readings: the caption's words.
        nobody: words that name nobody, as `named_nobody` finds them.
    """
    return [None if index in nobody else _candidate(readings, index) for index in range(len(readings))]


def _candidate(readings: list[ParsedWord], index: int) -> tuple[Stripped, Person] | None:
    for stripped in readings[index].lexeme.bearers:
        gender = _bearer(readings, index, stripped)
        return (stripped, Person(gender)) if gender is not None else None
    for way, person in readings[index].lexeme.people:
        if way.stem == _MOTHER and not way.owner and is_or(readings, index):
            continue
        if way.stem == _UNCLE and not way.owner and _is_verb(neighbour(readings, index + 1)):
            continue  # عم يلعب, in dialect: is playing
        if way.stem == _LADY and not way.is_definite and _is_number(readings, index):
            continue
        if not _fits(readings, index, way):
            continue
        if person.sort == "doubtful" and _follows(readings, index, way.stem, "only_before"):
            person = person._replace(sort="sure")
        return way, person
    return None


def neighbour(readings: list[ParsedWord], index: int) -> ParsedWord | None:
    """The word at `index`, if there is one."""
    return readings[index] if 0 <= index < len(readings) else None


def _fits(readings: list[ParsedWord], index: int, way: Stripped) -> bool:
    lexicon = arabic_lexicon()
    if way.stem not in lexicon.people and not way.owner:  # a construct: the noun that it needs comes next
        after = neighbour(readings, index + 1)
        if after is None or not after.lexeme.is_definite or after.lexeme.preposition:
            return False
    before = neighbour(readings, index - 1)
    near = frozenset() if before is None else before.lexeme.stems | {before.word.folded}
    if near & lexicon.contexts["unless_after"].get(way.stem, frozenset()):
        return False
    return not _follows(readings, index, way.stem, "unless_before")


def _follows(readings: list[ParsedWord], index: int, stem: str, name: str) -> bool:
    after = neighbour(readings, index + 1)
    return after is not None and after.word.folded in arabic_lexicon().contexts[name].get(stem, frozenset())


def is_or(readings: list[ParsedWord], index: int) -> bool:
    """Whether أم is `or`, not a mother: a question asks, or it stands between two nouns, both definite or neither."""
    reading, before, after = readings[index], neighbour(readings, index - 1), neighbour(readings, index + 1)
    if reading.word.folded != _MOTHER or before is None or after is None:
        return False
    if before.clause != reading.clause or after.clause != reading.clause:
        return False
    if after.word.folded == "لا" or any(at.asks for at in readings[:index] if at.sentence == reading.sentence):
        return True
    is_mother_animal = (before.lexeme.being == "animal") != (after.lexeme.being == "animal")
    if before.lexeme.is_preposition or before.lexeme.joins or is_mother_animal or _is_verb(before):
        return False
    if after.lexeme.joins or _goes_on(after):
        return False
    return before.lexeme.is_definite == after.lexeme.is_definite


def _bearer(readings: list[ParsedWord], index: int, stripped: Stripped) -> Gender | None:
    """حامل alone is pregnant, with what is carried a man who carries it or a holder; حاملة carries, or is a carrier."""
    reading, before, after = readings[index], neighbour(readings, index - 1), neighbour(readings, index + 1)
    if after is not None and (after.clause != reading.clause or after.lexeme.joins):
        after = None
    if after is not None and (after.within("held") or after.within("materials")):
        return None
    if before is not None and before.lexeme.people and not reading.lexeme.joins:
        return None  # امرأة حامل: an adjective
    if stripped.stem != _BEARER:
        return "female" if stripped.stem.endswith(("ة", "ات")) or "حاملت" in stripped.stem else "male"
    if after is not None and not _goes_on(after):
        return "male"
    is_shown = before is not None and (before.lexeme.is_preposition or before.lexeme.being == "thing")
    return None if is_shown and not stripped.is_definite and not reading.lexeme.joins else "female"


def _is_verb(reading: ParsedWord | None) -> bool:
    return reading is not None and bool(reading.lexeme.verbs) and not _is_noun(reading)


def _is_noun(reading: ParsedWord) -> bool:
    lexeme = reading.lexeme
    return bool(lexeme.people or lexeme.being or lexeme.owned)


def _goes_on(after: ParsedWord) -> bool:
    """Whether a word is no noun: a preposition, a verb, an adjective."""
    lexeme = after.lexeme
    if lexeme.is_preposition or lexeme.prepositional is not None or lexeme.preposition:
        return True
    return bool(lexeme.verbs or lexeme.adjective) and not _is_noun(after)


def _is_number(readings: list[ParsedWord], index: int) -> bool:
    """Whether ست is `six`: what it counts comes next."""
    after = neighbour(readings, index + 1)
    if after is None or after.clause != readings[index].clause or after.word.folded in _HOUSE:
        return False
    return not _goes_on(after) and not after.lexeme.joins and not after.lexeme.is_definite


def named_nobody(readings: list[ParsedWord]) -> frozenset[int]:
    """Words of expressions, places and animal families that name nobody, and of who is said not to be there."""
    found: set[int] = set()
    for index in range(len(readings)):
        found |= _fixed(readings, index) | _named_place(readings, index) | _kin_of_animals(readings, index)
        if readings[index].lexeme.people and _is_absent(readings, index):
            found.add(index)
    return frozenset(found)


def _is_absent(readings: list[ParsedWord], index: int) -> bool:
    """Whether somebody who is not there is spoken of: بلا سائق, لا يوجد أي رجل, خالية من الناس."""
    known, before = arabic_lexicon().sets, [reading.word.folded for reading in readings[:index]]
    if len(before) > 1 and before[-1] == "من" and readings[index - 2].within("empty"):
        return True
    if readings[index].lexeme.is_definite:
        return False
    if before and before[-1] in ("اي", "اية"):  # any: the negation may stand further off
        return not known["absence"].isdisjoint(before)
    while before and before[-1] in known["there_is"]:
        before.pop()
    return bool(before) and before[-1] in known["absence"]


def _fixed(readings: list[ParsedWord], index: int) -> set[int]:
    rows = arabic_lexicon().fixed
    for stem in readings[index].lexeme.stems:
        for row in rows.get(stem, ()):
            words = readings[index : index + len(row)]
            if len(words) == len(row) and all(part in word.lexeme.stems for part, word in zip(row, words, strict=True)):
                return set(range(index, index + len(row)))
    return set()


def _named_place(readings: list[ParsedWord], index: int) -> set[int]:
    """King Fahd Street: a title with the article, right behind a place, and the name that follows it."""
    reading, after = readings[index], neighbour(readings, index + 1)
    if after is None or reading.lexeme.is_definite:
        return set()
    is_titled = after.lexeme.is_definite and after.within("titles") and reading.within("named_places")
    if not is_titled and not (after.word.folded in _PARENTS and reading.within("shops")):
        return set()
    return {index, index + 1, index + 2} & set(range(len(readings)))


def _kin_of_animals(readings: list[ParsedWord], index: int) -> set[int]:
    """Mother cat, male lion, queen of the bees: a word of the family beside an animal, in one phrase."""
    reading, after = readings[index], neighbour(readings, index + 1)
    if after is None or after.clause != reading.clause or after.lexeme.joins:
        return set()
    if reading.lexeme.being == "animal" and not after.lexeme.preposition:
        same = reading.lexeme.is_definite == after.lexeme.is_definite
        old = any(person.sort == "epicene" for _, person in after.lexeme.people) or after.lexeme.adjective is not None
        return {index + 1} if same and (after.within("family") or old) else set()
    if reading.within("family") and after.lexeme.being == "animal" and not after.within("colours"):
        return {index}
    further = neighbour(readings, index + 2)
    is_group = reading.within("groups") and after.word.folded == "من" and further is not None
    return {index} if is_group and further is not None and further.lexeme.being != "" else set()
