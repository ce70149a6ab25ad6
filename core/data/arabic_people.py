"""The people of an Arabic caption, and what agrees with each of its nouns."""

from typing import Literal, NamedTuple

from core.data.arabic import OWNER_GENDERS, Stripped
from core.data.arabic_contexts import candidates, named_nobody, neighbour
from core.data.arabic_lexicon import Person, arabic_lexicon
from core.data.arabic_phrases import Phrases
from core.data.arabic_words import ParsedWord
from core.data.gender_words import Gender

_ONE = "احد"


class Somebody(NamedTuple):
    """A noun that names people here."""

    stripped: Stripped
    gender: Gender | None
    tells: bool
    """The noun shows the gender itself; otherwise what agrees with it does."""
    person: Person
    name_end: int | None = None
    """One past the last word of a given name."""


class People:
    """The people of one caption, by the index of the word that names them.

    It begins with those whose noun leaves no doubt; `core.data.arabic_doubts` and `core.data.arabic_names` add others.
    """

    def __init__(self, readings: list[ParsedWord]) -> None:
        self.readings = readings
        self.phrases = Phrases(readings)
        self.nobody = named_nobody(readings)
        self.candidates = candidates(readings, self.nobody)
        self.found: dict[int, Somebody] = {}
        self.ambiguous = False
        self.may_be_things = False
        """A verb that things do too speaks of somebody whom the caption does not name."""
        for index, candidate in enumerate(self.candidates):
            if candidate is None or candidate[1].sort != "sure" or readings[index].lexeme.heh is not None:
                continue
            if not self._only_describes(index) and not self._is_of_an_animal(index, candidate[0]):
                self.add(index, *candidate)

    def add(self, index: int, stripped: Stripped, person: Person, gender: Gender | None = None) -> None:
        """Take a word for a person, whose gender what agrees with it may tell."""
        tells = person.gender is not None and gender in (None, person.gender)
        self._put(index, Somebody(stripped, gender or person.gender, tells, person))

    def add_name(self, start: int, end: int, stripped: Stripped, gender: Gender | None) -> None:
        """Take words `start` to `end` (half open) for the name of a person."""
        person = Person(gender, sort="sure" if gender is not None else "epicene")
        self._put(start, Somebody(stripped, gender or self.agreement(start), gender is not None, person, end))

    def add_unknown(self, index: int, gender: Gender) -> None:
        """Take a noun that the lexicon does not have for a person, of the gender that its verb tells."""
        reading = self.readings[index]
        whole = Stripped(reading.word.folded, 0, "", reading.lexeme.is_definite, False, "")
        self._put(index, Somebody(whole, gender, tells=False, person=Person(None, sort="epicene")))

    def _put(self, index: int, somebody: Somebody) -> None:
        self.found[index] = somebody
        self.phrases.forget()

    def gender(self, index: int) -> Gender | None:
        """The gender of the person that a word names, if it names one."""
        somebody = self.found.get(index)
        return somebody.gender if somebody is not None else None

    def who(self, index: int) -> Gender | Literal["any"] | None:
        """As `gender`; `any` for a name, a person of no known gender and several (تلعب الأطفال); a pronoun's own."""
        somebody, candidate, lexeme = self.found.get(index), self.candidates[index], self.readings[index].lexeme
        if somebody is not None:
            is_open = somebody.person.is_plural or somebody.name_end is not None
            return "any" if is_open else somebody.gender or "any"
        if lexeme.heh is not None or (candidate is not None and candidate[1].sort == "epicene"):
            return "any"
        return lexeme.pronoun

    def before(self, index: int) -> list[int]:
        """The words before `index` that name people, in reading order."""
        return [at for at in sorted(self.found) if at < index]

    def subject(self, verb: int) -> int | None:
        """The noun that a verb agrees with, if the caption names it."""
        return self.phrases.subject(verb, self.who)

    def agreement(self, index: int) -> Gender | None:
        """The gender of the adjective, demonstrative or verb that agrees with a noun."""
        if (gender := self._adjective_behind(index)) is not None:
            return gender
        before = neighbour(self.readings, index - 1)
        if before is not None and before.lexeme.demonstrative is not None:
            return before.lexeme.demonstrative
        verbs = (verb for verb in self.phrases.verbs if self.subject(verb) == index)
        return next((self.phrases.verb(verb).gender for verb in verbs), None)

    def acts(self, index: int, gender: Gender | None) -> bool:
        """Whether a noun does, is or has, in that gender, what only people do, are and have."""
        return self.does(index, gender) or self._is_human(index, gender) or self._owns(index, gender)

    def does(self, index: int, gender: Gender | None) -> bool:
        """Whether a noun is the subject of a verb of that gender, or of any, that only people do."""
        phrase = self.phrases.of.get(index)
        if phrase is None or phrase.governor == "preposition":
            return False
        return any(self._is_human_verb(verb, gender) and self.subject(verb) == index for verb in self.phrases.verbs)

    def _is_human_verb(self, verb: int, gender: Gender | None) -> bool:
        doing = self.phrases.verb(verb)
        if doing.things != "no" or gender not in (None, doing.gender):
            return False
        return self.phrases.roles[verb + 1 : verb + 2] != ["governed pronoun"]  # a garden in which they play

    def _is_human(self, index: int, gender: Gender | None) -> bool:
        """Whether an adjective that only people are stands behind a noun and agrees with it."""
        reading, after = self.readings[index], neighbour(self.readings, index + 1)
        if after is None or after.clause != reading.clause or after.lexeme.joins:
            return False
        adjective = after.lexeme.adjective
        if adjective is None or adjective.things or adjective.gender != gender:
            return False
        return after.lexeme.is_definite == reading.lexeme.is_definite

    def _owns(self, index: int, gender: Gender | None) -> bool:
        """Whether a feminine noun that opens the caption has a hand, a bag, an office: محاسبة في مكتبها."""
        if index or gender != "female":
            return False
        owned = (reading.lexeme.owned for reading in self.readings[1:])
        return any(way is not None and OWNER_GENDERS.get(way.owner) == gender for way in owned)

    def _adjective_behind(self, index: int) -> Gender | None:
        phrase, after = self.phrases.of.get(index), neighbour(self.readings, index + 1)
        if phrase is None or after is None or index + 1 >= phrase.end:
            return None
        if after.lexeme.is_definite != self.readings[index].lexeme.is_definite:
            return None
        if after.lexeme.adjective is not None:
            return after.lexeme.adjective.gender
        return next((person.gender for _, person in after.lexeme.people if person.sort == "attribute"), None)

    def _only_describes(self, index: int) -> bool:
        """Whether a noun that is an adjective too stands behind a thing or a person of no gender (شخص مسن)."""
        lexeme, phrase = self.readings[index].lexeme, self.phrases.of.get(index)
        if lexeme.adjective is None or phrase is None or index == phrase.head or self.gender(index - 1) is not None:
            return False
        before = self.readings[index - 1]
        has_gender = any(person.gender is not None for _, person in before.lexeme.people) or before.within("outfit")
        return not has_gender and before.lexeme.is_definite == lexeme.is_definite

    def _is_of_an_animal(self, index: int, stripped: Stripped) -> bool:
        """Whether أحدهما speaks of one of two dogs, or أمه of a foal's mother."""
        known = arabic_lexicon().sets
        animals = [at for at, reading in enumerate(self.readings) if reading.lexeme.being == "animal"]
        if self.found or not animals:
            return False
        if stripped.stem in known["of_animals"]:
            return True  # ذكر وأنثى من البجع
        return bool(stripped.owner) and stripped.stem in known["family"] | {_ONE} and animals[0] < index
