"""Gender in Arabic captions: nouns that name people, and whatever agrees with them.

Nouns are looked up; verbs, adjectives, demonstratives and pronouns count only where they agree with a person of the
caption, because the same markers are on things (السيارات تسير) and on nouns that name anyone (شخص يقرأ).
"""

from core.data.arabic_agreement import agreeing, speaks_alone
from core.data.arabic_doubts import add_unknown, settle
from core.data.arabic_lexicon import arabic_lexicon
from core.data.arabic_names import add_names
from core.data.arabic_owners import owner
from core.data.arabic_people import People
from core.data.arabic_words import read
from core.data.gender_words import Gender, GenderedWord, GenderLabel, Kind, Referent, label_of
from core.data.given_names import weigh_names


def label_arabic(text: str) -> GenderLabel:
    """Label an Arabic caption; spans are of the text as it is written."""
    people = People(read(text))
    settle(people)
    add_names(people)
    add_unknown(people)
    tokens: list[GenderedWord] = []
    described: set[int] = set()
    for index in range(len(people.readings)):
        tokens += _of_word(text, people, index, described)
    unknown = [people.readings[at].word.start for at in people.found if people.gender(at) is None]
    weighed = weigh_names(tokens, unknown)
    ambiguous = people.ambiguous or (people.may_be_things and len(tokens) == 1) or len(weighed) < len(tokens)
    return label_of(weighed, bool(people.found), ambiguous)


def _of_word(text: str, people: People, index: int, described: set[int]) -> list[GenderedWord]:
    """The gendered words in one written word: a noun and its owner's pronoun are two."""
    reading, owned = people.readings[index], owner(people, index)
    tokens = _of_person(text, people, index)
    if index not in people.found and (found := _agreeing(people, index, described)) is not None:
        gender, kind = found
        tokens.append(_token(text, reading.word.start, reading.word.end, gender, "subject", kind))
        if people.readings[index].lexeme.embraced is None:
            owned = None
    if owned is not None:
        gender, stripped, whose, kind = owned
        tokens.append(_token(text, reading.start_of(stripped.owner), reading.word.end, gender, whose, kind))
    return tokens


def _of_person(text: str, people: People, index: int) -> list[GenderedWord]:
    somebody, reading = people.found.get(index), people.readings[index]
    if somebody is None:
        return []
    start, end = reading.word.start, reading.word.end
    if somebody.name_end is not None:
        if somebody.gender is None or not somebody.tells:
            return []
        last = people.readings[somebody.name_end - 1].word.end
        return [_token(text, start, last, somebody.gender, "subject", "name")]
    if somebody.stripped.owner:
        end = reading.start_of(somebody.stripped.owner)
    referent = _referent(people, index)
    if somebody.person.sort == "couple":
        return [_token(text, start, end, gender, referent, "noun") for gender in ("female", "male")]
    if somebody.gender is None or not somebody.tells:
        return []
    return [_token(text, start, end, somebody.gender, referent, "noun")]


def _agreeing(people: People, index: int, described: set[int]) -> tuple[Gender, Kind] | None:
    found = agreeing(people, index, described) or speaks_alone(people, index)
    if found is not None and found[1] in ("adjective", "pronoun"):
        described.add(index)
    return found


def _token(text: str, start: int, end: int, gender: Gender, referent: Referent, kind: Kind) -> GenderedWord:
    return GenderedWord(start, end, text[start:end], gender, referent, kind)


def _referent(people: People, index: int) -> Referent:
    """Whom a noun speaks of, read off its clitics and its neighbours."""
    somebody = people.found[index]
    if somebody.stripped.owner:
        return "other"
    earlier = people.before(index)
    if not earlier:
        return "subject"
    before = people.readings[index - 1]
    outfit = arabic_lexicon().sets["outfit"]
    if before.lexeme.stems & outfit or before.word.folded[1:] in outfit:
        return "subject"
    if somebody.stripped.preposition or before.lexeme.is_preposition:
        return "other"
    named_before = people.found.get(index - 1)
    if named_before is not None and somebody.stripped.is_definite and not named_before.stripped.is_definite:
        return "possessor"
    is_verb = bool(before.lexeme.verbs) and named_before is None
    if is_verb and before.sentence == people.readings[earlier[0]].sentence:
        return "object"
    return "subject"
