"""The phrases of an Arabic caption, and which of them each verb has for its subject."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from core.data.arabic_contexts import is_or
from core.data.arabic_lexicon import Verb
from core.data.arabic_words import ParsedWord
from core.data.gender_words import Gender
from core.data.given_names import given_name

Role = Literal["noun", "verb", "preposition", "governed pronoun", "break", "particle"]
Governor = Literal["", "verb", "preposition"]
Who = Callable[[int], Gender | Literal["any"] | None]
"""The gender of the person that a word names, `any` where that person's gender is not known, None for no person."""


class Phrase(NamedTuple):
    """Words `start` to `end` (half open) that belong to one noun, `head`."""

    start: int
    end: int
    head: int
    governor: Governor
    """What stands right before it: a verb, whose subject or object it is, a preposition, or neither."""


def roles(readings: list[ParsedWord]) -> list[Role]:
    """What each word does in its sentence."""
    found: list[Role] = []
    for index in range(len(readings)):
        found.append(_role(readings, index, found))
    return found


def _role(readings: list[ParsedWord], index: int, before: list[Role]) -> Role:
    lexeme = readings[index].lexeme
    if lexeme.prepositional is not None:
        return "governed pronoun"
    if _is_ali(readings, index):
        return "noun"
    if is_finite(readings, index, before):
        return "verb"
    if lexeme.is_preposition:
        return "preposition"
    if readings[index].word.folded == "ام":
        return "break" if is_or(readings, index) else "noun"
    if lexeme.relative is not None or (lexeme.pronoun is None and readings[index].within("breaks")):
        return "break"
    return "particle" if readings[index].within("particles") else "noun"


def _is_ali(readings: list[ParsedWord], index: int) -> bool:
    """Whether علي, which is also how على is written without care, is the name: a verb comes next."""
    after = readings[index + 1].lexeme if index + 1 < len(readings) else None
    return readings[index].word.spelt == "علي" and after is not None and bool(after.verbs) and not after.people


def is_finite(readings: list[ParsedWord], index: int, before: list[Role]) -> bool:
    """Whether a word that looks like a verb is one here: تسلق is climbing behind `in`, and climbs behind a person."""
    lexeme = readings[index].lexeme
    is_name = given_name(readings[index].word.folded, "ar") is not None
    names_something = is_name or lexeme.being or any(not way.proclitics and not way.owner for way, _ in lexeme.people)
    if names_something or lexeme.is_preposition:
        return False
    follows = before[-1] if before and readings[index - 1].clause == readings[index].clause else ""
    if not lexeme.verbs:
        return lexeme.guess is not None and follows == "noun" and _is_of_either_gender(readings[index - 1])
    if follows == "preposition":
        return False
    if not all(verb.is_noun_too for verb in lexeme.verbs):
        return lexeme.adjective is None or any(verb.is_present for verb in lexeme.verbs)
    names_somebody = index > 0 and (readings[index - 1].lexeme.people or readings[index - 1].lexeme.pronoun)
    is_present = any(verb.is_present for verb in lexeme.verbs)
    if is_present and _precedes_its_subject(readings, index):
        return True
    if index > 0 and readings[index - 1].lexeme.relative is not None:
        return True  # الذي رسم
    return follows == "particle" or (is_present and follows == "noun" and bool(names_somebody))


def _is_of_either_gender(reading: ParsedWord) -> bool:
    """Whether a word names somebody whose gender its verb has to tell."""
    people = reading.lexeme.people
    return bool(people) and people[0][1].gender is None


def _precedes_its_subject(readings: list[ParsedWord], index: int) -> bool:
    """Whether a person of the verb's gender comes next: تتسلق and تسلق طفلة."""
    after = readings[index + 1].lexeme if index + 1 < len(readings) else None
    if after is None or after.joins or after.preposition:
        return False
    genders = {person.gender for _, person in after.people[:1]}
    return any(verb.gender in genders for verb in readings[index].lexeme.verbs)


class Phrases:
    """The phrases of one caption."""

    def __init__(self, readings: list[ParsedWord]) -> None:
        self.readings = readings
        self.roles = roles(readings)
        self.all = self._chunk()
        self.of: dict[int, Phrase] = {index: phrase for phrase in self.all for index in range(phrase.start, phrase.end)}
        self._subjects: dict[int, int | None] = {}
        self.verbs = [index for index, role in enumerate(self.roles) if role == "verb"]

    def _chunk(self) -> list[Phrase]:
        starts = [index for index, role in enumerate(self.roles) if role == "noun" and self._starts(index)]
        return [self._phrase(start) for start in starts]

    def _starts(self, index: int) -> bool:
        """Whether a noun opens a phrase: nothing before it in its clause goes on into it."""
        if index == 0 or self.roles[index - 1] != "noun" or self.readings[index].lexeme.joins:
            return True
        before, reading = self.readings[index - 1], self.readings[index]
        if before.clause != reading.clause or reading.lexeme.preposition or reading.lexeme.pronoun is not None:
            return True
        if before.lexeme.pronoun is not None:
            return True
        names = reading.lexeme.people or reading.lexeme.being
        return before.lexeme.is_definite and not reading.lexeme.is_definite and bool(names)

    def _phrase(self, start: int) -> Phrase:
        end = start + 1
        while end < len(self.readings) and self.roles[end] == "noun" and not self._starts(end):
            end += 1
        head = start
        while head + 1 < end and self.readings[head].within("quantifiers") and not self.readings[head].lexeme.people:
            head += 1
        return Phrase(start, end, head, self._governor(start))

    def _governor(self, start: int) -> Governor:
        if self.readings[start].lexeme.preposition:
            return "preposition"
        if start == 0 or self.readings[start - 1].clause != self.readings[start].clause:
            return ""
        before = self.roles[start - 1]
        if before == "preposition":
            return "preposition"
        if self.readings[start].lexeme.joins:  # `and` goes on with what the phrase before it is
            earlier = self._phrase_before(start)
            return earlier.governor if earlier is not None and earlier.end == start else ""
        return "verb" if before == "verb" else ""

    def _phrase_before(self, index: int) -> Phrase | None:
        """The phrase that ends where `index` stands."""
        end = index
        if end == 0 or self.roles[end - 1] != "noun":
            return None
        start = end - 1
        while start > 0 and self.roles[start - 1] == "noun" and not self._starts(start):
            start -= 1
        return self._phrase(start)

    def heads(self, index: int) -> bool:
        """Whether a word is the head of its phrase."""
        return index in self.of and self.of[index].head == index

    def before(self, verb: int) -> list[Phrase]:
        """The phrases before a verb in its sentence, the nearest first, and those that a preposition governs last."""
        sentence = self.readings[verb].sentence
        found = [
            phrase
            for phrase in reversed(self.all)
            if phrase.end <= verb and self.readings[phrase.start].sentence == sentence
        ]
        return sorted(found, key=lambda phrase: phrase.governor == "preposition")

    def after(self, verb: int) -> list[Phrase]:
        """The phrases behind a verb that it could have for its subject, up to the next verb or the sentence's end."""
        found = []
        for phrase in self.all:
            if phrase.start <= verb:
                continue
            between = self.roles[verb + 1 : phrase.start]
            is_far = self.readings[phrase.start].sentence != self.readings[verb].sentence
            if is_far or "verb" in between or "break" in between:
                break
            if phrase.governor != "preposition" and not self.readings[phrase.start].lexeme.joins:
                found.append(phrase)
        return found

    def verbs_at(self, index: int) -> tuple[Verb, ...]:
        """The verbs that a word can be, where it is a verb here."""
        lexeme = self.readings[index].lexeme
        if self.roles[index] != "verb":
            return ()
        return lexeme.verbs if lexeme.guess is None else (lexeme.guess,)

    def verb(self, index: int) -> Verb:
        """The reading of a verb, the one that is surest to be one."""
        return min(self.verbs_at(index), key=lambda verb: (verb.is_noun_too, not verb.is_present))

    def subject(self, verb: int, who: Who) -> int | None:
        """The noun that a verb agrees with; None where the caption does not name it.

        Before the verb in its clause, else behind it: a person or an animal, and any noun where things do that too.
        """
        if verb not in self._subjects:
            self._subjects[verb] = self._subject(verb, who)
        return self._subjects[verb]

    def forget(self) -> None:
        """Find subjects again: more is known of who is a person."""
        self._subjects.clear()

    def _subject(self, verb: int, who: Who) -> int | None:
        doing, behind = self.verb(verb), self.after(verb)
        acting = [phrase.head for phrase in behind if self._can_act(phrase.head, doing, who)]
        preceding = self._preceding(verb, who)
        if acting and (preceding is None or self._is_apart(preceding, verb)):
            return acting[0]
        if preceding is not None:
            return preceding
        things = [
            phrase.head
            for phrase in behind
            if can_agree(self.readings[phrase.head], doing.gender) and not is_manner(self.readings[phrase.head])
        ]
        is_singular = doing.number == "one"  # as every verb before its subject is
        return things[0] if things and is_singular and doing.things == "alone" else None

    def _is_apart(self, head: int, verb: int) -> bool:
        """Whether a noun before a verb is governed by a preposition or belongs to another clause."""
        return self.of[head].governor == "preposition" or "break" in self.roles[head:verb]

    def _preceding(self, verb: int, who: Who) -> int | None:
        """The noun before a verb that it agrees with: of what only people do, a person's first of all."""
        doing = self.verb(verb)
        heads = [phrase.head for phrase in self.before(verb) if not self._is_object(phrase, who)]
        fitting = [head for head in heads if self._fits(head, doing.gender, who)]
        human = doing.things == "no" or doing.number == "many"
        if not human:
            return next(iter(fitting), None)
        acting = [head for head in fitting if self.readings[head].lexeme.being != "thing" or who(head)]
        bare = [head for head in fitting if self.of[head].governor != "preposition"]
        return next(iter(acting or bare), None)

    def _is_object(self, phrase: Phrase, who: Who) -> bool:
        if phrase.governor != "verb":
            return False
        governor = phrase.start - 1
        return self.roles[governor] != "verb" or self.subject(governor, who) != phrase.head

    def _fits(self, head: int, gender: Gender, who: Who) -> bool:
        named = who(head)
        return named in (gender, "any") or (named is None and can_agree(self.readings[head], gender))

    def _can_act(self, head: int, verb: Verb, who: Who) -> bool:
        named, reading = who(head), self.readings[head]
        if named is not None:
            return named in (verb.gender, "any")
        return reading.lexeme.being in ("animal", "figure") and not verb.of_animals and can_agree(reading, verb.gender)


def is_manner(reading: ParsedWord) -> bool:
    """Whether a word behind a verb says how it is done: تسير وحيدة."""
    lexeme = reading.lexeme
    return lexeme.adjective is not None and not lexeme.being and not lexeme.people and not lexeme.is_definite


def looks_feminine(reading: ParsedWord) -> bool:
    """Whether a noun's ending is feminine: ة, ات, اء, or a ه that stands for ة."""
    folded = reading.word.folded
    return folded.endswith(("ة", "ات", "اء")) or reading.lexeme.heh is not None


def can_agree(reading: ParsedWord, gender: Gender) -> bool:
    """Whether a noun of no known gender can have a verb of `gender`; one without ة may be feminine or a plural."""
    return gender == "female" or not looks_feminine(reading)
