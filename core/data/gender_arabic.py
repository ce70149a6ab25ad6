"""Gender in Arabic captions: nouns that name people, and whatever agrees with them.

Nouns are looked up; verbs, adjectives, demonstratives and pronouns count only where they agree with a person of the
caption, because the same markers are on things (السيارات تسير) and on nouns that name anyone (شخص يقرأ).
"""

from itertools import pairwise

from core.data.arabic_lexicon import arabic_lexicon
from core.data.arabic_readings import Reading, read
from core.data.gender_words import Gender, GenderedWord, GenderLabel, Kind, Referent, label_of

_REACH = 4
_NOT = "غير"


def label_arabic(text: str) -> GenderLabel:
    """Label an Arabic caption; spans are of the text as it is written."""
    readings = read(text)
    tokens: list[GenderedWord] = []
    described: set[int] = set()
    for index in range(len(readings)):
        tokens += _of_word(text, readings, index, described)
    tokens += _dropped_subject(text, readings, tokens)
    return label_of(tokens, any(reading.person is not None for reading in readings))


def _of_word(text: str, readings: list[Reading], index: int, described: set[int]) -> list[GenderedWord]:
    """The gendered words in one written word: a noun and its owner's pronoun are two."""
    reading = readings[index]
    tokens = []
    owner = _owner(readings, index)
    if reading.person is not None and reading.person.gender is not None:
        end = reading.owner_start if reading.stripped.owner else reading.word.end
        referent = _referent(readings, index)
        tokens.append(_token(text, reading.word.start, end, reading.person.gender, referent, "noun"))
    elif (agreeing := _agreeing(readings, index, described)) is not None:
        gender, kind = agreeing
        if kind == "adjective":
            described.add(index)
        tokens.append(_token(text, reading.word.start, reading.word.end, gender, "subject", kind))
        owner = None
    if owner is not None:
        whose: Referent = "object" if reading.is_prepositional else "possessor"
        kind = "pronoun" if reading.is_prepositional else "possessive"
        tokens.append(_token(text, reading.owner_start, reading.word.end, owner, whose, kind))
    return tokens


def _token(text: str, start: int, end: int, gender: Gender, referent: Referent, kind: Kind) -> GenderedWord:
    return GenderedWord(start, end, text[start:end], gender, referent, kind)


def _gender_at(readings: list[Reading], index: int) -> Gender | None:
    if not 0 <= index < len(readings):
        return None
    person = readings[index].person
    return person.gender if person is not None else None


def _people_before(readings: list[Reading], index: int) -> list[int]:
    return [at for at in range(index) if readings[at].person is not None]


def _agreeing(readings: list[Reading], index: int, described: set[int]) -> tuple[Gender, Kind] | None:
    """The gender that a word shows by agreeing with a person, and what it is."""
    reading = readings[index]
    if reading.person is not None:
        return None
    if reading.pronoun is not None and _has_antecedent(readings, index, reading.pronoun):
        return reading.pronoun, "pronoun"
    points_at = _gender_at(readings, index + 1)
    if reading.demonstrative is not None and reading.demonstrative == points_at:
        return reading.demonstrative, "demonstrative"
    if reading.relative is not None and _describes(readings, index, reading.relative, described):
        return reading.relative, "pronoun"
    if reading.adjective is not None and _describes(readings, index, reading.adjective, described):
        return reading.adjective, "adjective"
    for verb in reading.verbs:
        if _is_done_by(readings, index, verb.gender, verb.things):
            return verb.gender, "verb"
    return None


def _has_antecedent(readings: list[Reading], index: int, gender: Gender) -> bool:
    """A person of that gender was named before, or the pronoun opens the caption and does what people do."""
    if _gender_at(readings, index + 1) == gender:
        return True  # هي طبيبة
    if index == 0 and len(readings) > 1 and any(verb == (gender, False) for verb in readings[1].verbs):
        return True  # هي تقرأ
    return any(_gender_at(readings, at) == gender for at in _people_before(readings, index))


def _describes(readings: list[Reading], index: int, gender: Gender, described: set[int]) -> bool:
    """Whether an adjective or relative pronoun follows a person of its gender.

    Other adjectives may stand between, and one word that completes the noun (رائدة فضاء متعبة).
    """
    opens = index == 0 or (index == 1 and readings[0].word.folded == _NOT)
    if opens:  # no noun can precede: the adjective stands for the person (متجهمة, غير موافقة)
        return readings[index].adjective is not None and not readings[index].stripped.is_definite
    skipped = 0
    for at in range(index - 1, max(index - 1 - _REACH, -1), -1):
        before = readings[at]
        if before.clause != readings[index].clause:
            return False
        if before.person is not None:
            return before.person.gender == gender
        if before.pronoun is not None:
            return before.pronoun == gender and at == index - 1
        if at in described:
            continue
        skipped += 1
        if skipped > 1 or before.is_preposition or before.verbs or before.stripped.preposition or before.is_owned:
            return False
    return False


def _is_done_by(readings: list[Reading], index: int, gender: Gender, things: bool) -> bool:
    """Whether a finite verb has a person of its gender as its subject, after it or before it."""
    follows = readings[index + 1] if index + 1 < len(readings) else None
    if follows is not None and follows.person is not None and follows.clause == readings[index].clause:
        is_subject = not follows.stripped.preposition and not follows.stripped.owner
        if is_subject and follows.person.gender == gender:
            return True
        if is_subject and follows.person.gender is None:
            return False  # the verb agrees with a noun that names anyone
    return _is_subject_before(readings, index, gender, things)


def _is_subject_before(readings: list[Reading], index: int, gender: Gender, things: bool) -> bool:
    people = [at for at in _people_before(readings, index) if readings[at].sentence == readings[index].sentence]
    if not people or readings[people[-1]].person == (None, False):
        return False
    if things and _looks_like_thing(readings, index - 1):
        return False
    return any(_gender_at(readings, at) == gender for at in people)


def _looks_like_thing(readings: list[Reading], index: int) -> bool:
    """A word of no known kind that is feminine or plural in form: what follows may agree with it.

    Right behind a person it completes that noun instead (لاعب خفة).
    """
    if index < 0:
        return False
    before = readings[index]
    known = before.person is not None or before.adjective or before.pronoun or before.relative
    completes = index > 0 and readings[index - 1].person is not None
    return not known and not completes and before.word.folded.endswith(("ة", "ات"))


def _owner(readings: list[Reading], index: int) -> Gender | None:
    """The gender of the owner whose pronoun ends the word, where the owner is a person."""
    reading = readings[index]
    if reading.owner is None:
        return None
    people = _people_before(readings, index)
    if reading.person is not None and reading.person.is_relation:
        nearest = _gender_at(readings, people[-1]) if people else reading.owner
        return reading.owner if nearest is not None else None
    anywhere = people if reading.is_prepositional else _people_before(readings, len(readings))
    others = [at for at in anywhere if at != index]
    return reading.owner if any(_gender_at(readings, at) == reading.owner for at in others) else None


def _dropped_subject(text: str, readings: list[Reading], tokens: list[GenderedWord]) -> list[GenderedWord]:
    """A verb and what its doer owns, agreeing, where nobody is named: تقص شعرها."""
    if tokens or any(reading.person is not None for reading in readings):
        return []
    for first, second in pairwise(readings[:2]):  # further on, a thing may be the subject
        if second.is_owned and second.owner is not None and any(verb.gender == second.owner for verb in first.verbs):
            verb = _token(text, first.word.start, first.word.end, second.owner, "subject", "verb")
            owner = _token(text, second.owner_start, second.word.end, second.owner, "possessor", "possessive")
            return [verb, owner]
    return []


def _referent(readings: list[Reading], index: int) -> Referent:
    """Whom a noun speaks of, read off its clitics and its neighbours."""
    reading = readings[index]
    if reading.stripped.owner:
        return "other"
    people = _people_before(readings, index)
    if not people:
        return "subject"
    before = readings[index - 1]
    if before.stripped.stem in arabic_lexicon().outfit or before.word.folded[1:] in arabic_lexicon().outfit:
        return "subject"
    if reading.stripped.preposition or before.is_preposition:
        return "other"
    if before.person is not None and reading.stripped.is_definite and not before.stripped.is_definite:
        return "possessor"
    if before.verbs and not before.person and before.sentence == readings[people[0]].sentence:
        return "object"
    return "subject"
