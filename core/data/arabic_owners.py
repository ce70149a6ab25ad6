"""The owners that Arabic pronouns speak of: in صديقته the friend is female, the ه a male owner."""

from core.data.arabic import OWNER_GENDERS, Stripped
from core.data.arabic_lexicon import arabic_lexicon
from core.data.arabic_people import People
from core.data.arabic_phrases import can_agree
from core.data.gender_words import Gender, Kind, Referent


def owner(people: People, index: int) -> tuple[Gender, Stripped, Referent, Kind] | None:
    """The gender of the owner whose pronoun ends the word, where the owner is a person, and what the pronoun is."""
    somebody, lexeme = people.found.get(index), people.readings[index].lexeme
    if somebody is not None:
        gender = OWNER_GENDERS.get(somebody.stripped.owner)
        is_person = gender is not None and _owns_a_person(people, index, gender)
        return (gender, somebody.stripped, "possessor", "possessive") if gender and is_person else None
    if lexeme.embraced is not None and people.phrases.roles[index] == "verb":
        gender = OWNER_GENDERS.get(lexeme.embraced.owner)
        is_person = gender is not None and _is_embraced(people, index, gender)
        return (gender, lexeme.embraced, "object", "pronoun") if gender and is_person else None
    ways: tuple[tuple[Stripped | None, Referent, Kind], ...] = (
        (lexeme.owned, "possessor", "possessive"),
        (lexeme.prepositional, "object", "pronoun"),
    )
    for stripped, whose, kind in ways:
        if stripped is not None:
            gender = OWNER_GENDERS.get(stripped.owner)
            is_person = gender is not None and _owns_a_thing(people, index, gender, is_of=kind == "pronoun")
            return (gender, stripped, whose, kind) if gender and is_person else None
    return None


def _owns_a_person(people: People, index: int, gender: Gender) -> bool:
    """Whether a teacher's pronoun speaks of a person: of one named, or of one whom nothing named could stand for."""
    before = people.before(index)
    others = before if people.found[index].person.is_relation else [at for at in people.found if at != index]
    if people.found[index].person.is_relation and before and people.gender(before[-1]) is None:
        return False  # a person and his friend
    if any(people.gender(at) == gender for at in others):
        return True
    if any(people.gender(at) is None for at in before):
        return False
    beings = ("animal",) if people.found[index].person.is_relation else ("animal", "thing", "figure", "")
    return not _could_be_of(people, index, gender, beings)


def _owns_a_thing(people: People, index: int, gender: Gender, *, is_of: bool) -> bool:
    """Whether a book's pronoun speaks of a person: of one named, or the book opens a caption that names no owner."""
    anywhere = people.before(index) if is_of else sorted(people.found)
    if any(people.gender(at) == gender for at in anywhere if at != index):
        return True
    if people.found or _ends_in_teh(people, index) or (is_of and not _is_beside(people, index)):
        return False
    beings = ("animal", "thing", "figure", "")
    return not _could_be_of(people, index, gender, beings) and not _is_followed_by_an_animal(people, index)


def _is_beside(people: People, index: int) -> bool:
    """Whether a preposition places something by somebody (معها, إليها), rather than in or on something."""
    stripped = people.readings[index].lexeme.prepositional
    return stripped is not None and stripped.stem in arabic_lexicon().sets["beside"]


def _ends_in_teh(people: People, index: int) -> bool:
    """Whether a thing in ه may be one in ة: قطه is `his cat` or `a cat`."""
    reading, known = people.readings[index], arabic_lexicon().sets
    teh = reading.word.folded[:-1] + "ة"
    return reading.word.folded.endswith("ه") and any(teh in known[name] for name in ("animals", "agents", "owned"))


def _is_embraced(people: People, index: int, gender: Gender) -> bool:
    """Whether the pronoun behind a verb speaks of somebody whom the caption does not name."""
    named = [people.who(at) for at in range(index) if people.who(at) is not None]
    if gender in named or "any" in named:
        return False  # the noun tells it
    return not _could_be_of(people, index, gender, ("animal", "figure", "thing"))


def _could_be_of(people: People, index: int, gender: Gender, beings: tuple[str, ...]) -> bool:
    """Whether something named before the word has the pronoun's gender, other than the word's own construct."""
    phrases = people.phrases
    for at in range(index):
        if phrases.roles[at] != "noun" or at in people.found or people.readings[at].lexeme.adjective is not None:
            continue
        own = phrases.of.get(index) == phrases.of.get(at)
        is_owner = people.readings[at].lexeme.being in beings and can_agree(people.readings[at], gender)
        if is_owner and not (own and people.readings[at].lexeme.being != "animal" and index in people.found):
            return True
    return False


def _is_followed_by_an_animal(people: People, index: int) -> bool:
    return any(reading.lexeme.being == "animal" for reading in people.readings[index + 1 :])
