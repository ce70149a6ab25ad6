"""What agrees with the people of an Arabic caption, and what speaks of people whom it does not name."""

from core.data.arabic_people import People
from core.data.arabic_phrases import can_agree, is_manner
from core.data.gender_words import Gender, Kind

_REACH = 4
_OPENING = frozenset({"غير", "كان", "كانت", "وكان", "وكانت"})


def agreeing(people: People, index: int, described: set[int]) -> tuple[Gender, Kind] | None:
    """The gender that a word shows by agreeing with a person, and what it is.

    Args:
        people: the people of the caption.
        index: the word.
        described: adjectives and pronouns found so far; adjectives may stand between a noun and another adjective.
    """
    lexeme = people.readings[index].lexeme
    if lexeme.pronoun is not None and _has_antecedent(people, index, lexeme.pronoun):
        return lexeme.pronoun, "pronoun"
    if lexeme.kind is not None and index - 1 in people.found and people.gender(index - 1) is None:
        return lexeme.kind, "adjective"
    if lexeme.demonstrative is not None and lexeme.demonstrative == people.gender(index + 1):
        return lexeme.demonstrative, "demonstrative"
    if lexeme.relative is not None and _describes(people, index, lexeme.relative, described):
        return lexeme.relative, "pronoun"
    if lexeme.adjective is not None and _describes(people, index, lexeme.adjective.gender, described):
        return lexeme.adjective.gender, "adjective"
    for verb in sorted(people.phrases.verbs_at(index), key=lambda verb: verb.is_noun_too or not verb.is_present):
        if _tells_of_its_subject(people, index, verb.gender) or _is_done_by(
            people, index, verb.gender, things=verb.things != "no"
        ):
            return verb.gender, "verb"
    return None


def speaks_alone(people: People, index: int) -> tuple[Gender, Kind] | None:
    """The gender that a word shows of somebody whom the caption does not name."""
    lexeme = people.readings[index].lexeme
    if lexeme.pronoun is not None:
        return (lexeme.pronoun, "pronoun") if _is_a_person(people, index, lexeme.pronoun) else None
    if people.phrases.roles[index] == "verb" and _drops_its_subject(people, index):
        return people.phrases.verb(index).gender, "verb"
    if lexeme.adjective is not None and _stands_for_a_person(people, index):
        return lexeme.adjective.gender, "adjective"
    return None


def _has_antecedent(people: People, index: int, gender: Gender) -> bool:
    """A person of that gender was named before, or comes next (هي طبيبة)."""
    return people.gender(index + 1) == gender or any(people.gender(at) == gender for at in people.before(index))


def _describes(people: People, index: int, gender: Gender, described: set[int]) -> bool:
    """Whether an adjective or relative pronoun follows a person of its gender.

    Other adjectives may stand between, and one word that completes the noun (رائدة فضاء متعبة).
    """
    skipped = 0
    for at in range(index - 1, max(index - 1 - _REACH, -1), -1):
        before = people.readings[at]
        if before.clause != people.readings[index].clause:
            return False
        if at in people.found:
            return people.gender(at) == gender
        if before.lexeme.pronoun is not None:
            return before.lexeme.pronoun == gender and at == index - 1 and at in described
        if at in described:
            continue
        skipped += 1
        lexeme = before.lexeme
        ends = lexeme.is_preposition or lexeme.verbs or lexeme.preposition or lexeme.owned
        if skipped > 1 or ends:
            return False
    return False


def _tells_of_its_subject(people: People, index: int, gender: Gender) -> bool:
    """Whether a verb's subject is a noun for either gender (عجوز), or a name, which the verb outweighs."""
    subject = people.subject(index)
    somebody = people.found.get(subject) if subject is not None else None
    if somebody is None:
        return False
    return somebody.name_end is not None or (somebody.gender == gender and not somebody.tells)


def _is_done_by(people: People, index: int, gender: Gender, *, things: bool) -> bool:
    """Whether a finite verb has a person of its gender as its subject, after it or before it."""
    follows = people.found.get(index + 1)
    if follows is not None and people.readings[index + 1].clause == people.readings[index].clause:
        is_subject = not follows.stripped.preposition and not follows.stripped.owner
        if is_subject and follows.gender == gender:
            return True
        if is_subject and follows.gender is None:
            return False  # the verb agrees with a noun that names anyone
    return _is_subject_before(people, index, gender, things=things)


def _is_subject_before(people: People, index: int, gender: Gender, *, things: bool) -> bool:
    sentence = people.readings[index].sentence
    before = [at for at in people.before(index) if people.readings[at].sentence == sentence]
    if not before or people.gender(before[-1]) is None:
        return False
    if things and _looks_like_thing(people, index - 1):
        return False
    return any(people.gender(at) == gender for at in before)


def _looks_like_thing(people: People, index: int) -> bool:
    """A word of no known kind that is feminine or plural in form: what follows may agree with it.

    Right behind a person it completes that noun instead (لاعب خفة).
    """
    if index < 0:
        return False
    lexeme = people.readings[index].lexeme
    known = index in people.found or lexeme.adjective or lexeme.pronoun or lexeme.relative
    completes = index - 1 in people.found
    return not known and not completes and people.readings[index].word.folded.endswith(("ة", "ات"))


def _is_a_person(people: People, index: int, gender: Gender) -> bool:
    """Whether هو or هي does what only people do, where nothing named before could be meant."""
    readings, phrases = people.readings, people.phrases
    after = index + 1
    before = index - 1
    follows = before >= 0 and phrases.roles[before] == "verb" and not readings[index].lexeme.joins
    if follows and phrases.verb(before).things == "no" and phrases.verb(before).gender == gender:
        return True  # تقرأ هي
    does = after < len(readings) and phrases.roles[after] == "verb" and phrases.verb(after).things == "no"
    if any(at.lexeme.pronoun not in (None, gender) for at in readings[:index]):
        return True  # هو يقود وهي خلفه
    earlier = [phrase.head for phrase in phrases.all if phrase.end <= index]
    if any(_may_stand_for(people, head, gender) and not (does and _is_lifeless(people, head)) for head in earlier):
        return False
    if after >= len(readings) or readings[after].clause != readings[index].clause:
        return False
    if phrases.roles[after] == "verb":
        verb = phrases.verb(after)
        return verb.gender == gender or verb.number == "many"
    if readings[after].lexeme.relative == gender:  # هو الذي يقود
        return phrases.roles[after + 1 : after + 2] == ["verb"] and phrases.verb(after + 1).things == "no"
    adjective = readings[after].lexeme.adjective
    if adjective is not None:
        return adjective.gender == gender and not adjective.things
    return phrases.roles[after] in ("preposition", "governed pronoun") or bool(readings[after].lexeme.preposition)


def _is_lifeless(people: People, head: int) -> bool:
    return head not in people.found and people.readings[head].lexeme.being not in ("animal", "figure")


def _may_stand_for(people: People, head: int, gender: Gender) -> bool:
    who = people.who(head)
    if who is not None:
        return who in (gender, "any") and people.readings[head].lexeme.pronoun is None
    return can_agree(people.readings[head], gender)


def _drops_its_subject(people: People, index: int) -> bool:
    """Whether a verb speaks of somebody whom the caption does not name: تقف في المطبخ وتطبخ."""
    phrases, verb = people.phrases, people.phrases.verb(index)
    if people.subject(index) is not None or verb.is_noun_too or people.readings[index].within("seen_by_me"):
        return False
    for phrase in phrases.before(index):
        is_lifeless = verb.things == "no" and _is_lifeless(people, phrase.head)
        if not phrase.governor or (_may_stand_for(people, phrase.head, verb.gender) and not is_lifeless):
            return False
    behind = [phrase.head for phrase in phrases.after(index) if not is_manner(people.readings[phrase.head])]
    if verb.number != "one" or verb.things == "no" or not behind:
        people.may_be_things |= verb.things == "alone"
        return True
    first = people.readings[behind[0]]
    is_object = not can_agree(first, verb.gender) or first.lexeme.owned is not None or behind[0] in people.found
    return is_object or (verb.things == "with_object" and not first.within("movers"))


def _stands_for_a_person(people: People, index: int) -> bool:
    """Whether an adjective opens the caption or its phrase and says what only people are (متجهمة, غير موافقة)."""
    readings, adjective = people.readings, people.readings[index].lexeme.adjective
    if adjective is None or people.found:
        return False
    opens = index == 0 or (index == 1 and readings[0].word.folded in _OPENING)
    if not opens:
        return False
    if readings[index].lexeme.is_definite or adjective.things:
        return people.does(index, adjective.gender)
    return not any(_is_named_later(people, phrase.head, adjective.gender) for phrase in people.phrases.all)


def _is_named_later(people: People, head: int, gender: Gender) -> bool:
    """Whether a noun opens a further clause, so that what comes first describes it: واقفة على غصن، بومة."""
    reading = people.readings[head]
    is_noun = reading.lexeme.being != "" and reading.lexeme.owned is None and can_agree(reading, gender)
    return is_noun and reading.clause > 0 and not people.phrases.of[head].governor
