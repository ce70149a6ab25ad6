"""The Arabic words that tell gender, with their regular endings spelt out: one look-up a surface form."""

from functools import cache
from typing import Any, NamedTuple

from core.data.arabic import normalise
from core.data.gender_words import Gender, lexicon_file


class Person(NamedTuple):
    """A noun that names people; `gender` is null where the noun names anyone (شخص)."""

    gender: Gender | None
    is_relation: bool


class ArabicLexicon(NamedTuple):
    """Folded surface forms by what they are. Keys of `madda` are forms that are spelt with آ."""

    people: dict[str, Person]
    adjectives: dict[str, Gender]
    past: dict[str, tuple[Gender, bool]]
    present: dict[str, bool]
    """Stem after the prefix ي or ت, and whether things do it too; `past` holds the latter beside the gender."""
    owned: frozenset[str]
    prepositional: frozenset[str]
    prepositions: frozenset[str]
    outfit: frozenset[str]
    pronouns: dict[str, Gender]
    demonstratives: dict[str, Gender]
    relatives: dict[str, Gender]
    only_before: dict[str, frozenset[str]]
    unless_after: dict[str, frozenset[str]]
    unless_before: dict[str, frozenset[str]]
    indefinite_only: frozenset[str]
    madda: frozenset[str]


@cache
def arabic_lexicon() -> ArabicLexicon:
    """The lexicon, built once a process."""
    raw: dict[str, Any] = lexicon_file("arabic")
    people = _people(raw)
    past, present = _verbs(raw["verbs"])
    adjectives = _adjectives(raw["adjectives"])
    spelt = {*people, *adjectives, *past, *present}

    def folded(name: str) -> frozenset[str]:
        return frozenset(map(normalise, raw[name]))

    def genders(name: str) -> dict[str, Gender]:
        return {normalise(word): gender for word, gender in raw[name].items()}

    def contexts(name: str) -> dict[str, frozenset[str]]:
        return {normalise(word): frozenset(map(normalise, near)) for word, near in raw[name].items()}

    return ArabicLexicon(
        people={normalise(form): person for form, person in people.items()},
        adjectives={normalise(form): gender for form, gender in adjectives.items()},
        past={normalise(form): gender for form, gender in past.items()},
        present={normalise(stem): things for stem, things in present.items()},
        owned=folded("owned"),
        prepositional=folded("prepositional"),
        prepositions=folded("prepositions"),
        outfit=folded("outfit"),
        pronouns=genders("subject_pronouns"),
        demonstratives=genders("demonstratives"),
        relatives=genders("relatives"),
        only_before=contexts("only_before"),
        unless_after=contexts("unless_after"),
        unless_before=contexts("unless_before"),
        indefinite_only=folded("indefinite_only"),
        madda=frozenset(normalise(form) for form in spelt if "آ" in form),
    )


def _people(raw: dict[str, Any]) -> dict[str, Person]:
    people: dict[str, Person] = {}
    for section in ("people", "relations", "pairs"):
        for row in raw[section]:
            masculine, feminine, *further = row.split()
            is_relation = section == "relations"
            for form in (*_masculine(masculine), *further):
                people.setdefault(form, Person("male", is_relation))
            for form in _feminine(feminine):
                people.setdefault(form, Person("female", is_relation))
    for gender in ("male", "female"):
        people |= {form: Person(gender, form in ("أمهات", "أخوات")) for form in raw[gender]}
    return people | {form: Person(None, False) for form in raw["neutral"]}


def _masculine(noun: str) -> tuple[str, ...]:
    """Singular, accusative with tanwin, dual and sound plural (ين is both, و without ن in the construct)."""
    if noun == "-":
        return ()
    if len(noun) <= 2:
        return (noun,)  # جدا is `very`, عمان a country
    return (noun, noun + "ا", noun + "ان", noun + "ون", noun + "ين", noun + "و")


def _feminine(noun: str) -> tuple[str, ...]:
    if noun == "-":
        return ()
    if len(noun) <= 2:
        return (noun,)
    stem = noun.removesuffix("ة")
    if stem == noun:
        return (noun, noun + "ان", noun + "ين")
    return (noun, stem + "تان", stem + "تين", stem + "ات")


def _adjectives(rows: list[str]) -> dict[str, Gender]:
    adjectives: dict[str, Gender] = {}
    for row in rows:
        masculine, feminine = row.split()
        adjectives |= dict.fromkeys(_feminine(feminine), "female")
        adjectives |= dict.fromkeys(_masculine(masculine), "male")
    return adjectives


def _verbs(rows: list[str]) -> tuple[dict[str, tuple[Gender, bool]], dict[str, bool]]:
    past: dict[str, tuple[Gender, bool]] = {}
    present: dict[str, bool] = {}
    for row in rows:
        masculine, stem, *marks = row.split()
        things = "*" in marks
        feminine = [form for form in marks if form != "*"] or [masculine + "ت"]
        past[masculine] = past[masculine + "وا"] = ("male", things)
        past |= dict.fromkeys((feminine[0], feminine[0] + "ا"), ("female", things))
        present[stem] = things and present.get(stem, True)
    return past, present
