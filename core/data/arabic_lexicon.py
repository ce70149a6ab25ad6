"""The Arabic words that tell gender, with their regular endings spelt out: one look-up per surface form."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, NamedTuple

from core.data import arabic_forms as forms
from core.data.arabic import normalise
from core.data.arabic_forms import DOUBTFUL
from core.data.gender_words import Gender, lexicon_file

Sort = Literal["sure", "doubtful", "attribute", "epicene", "couple", "spouses", "plural too"]

Number = Literal["one", "two", "many"]


class Person(NamedTuple):
    """A noun that names people; `gender` is null where the noun names anyone (شخص)."""

    gender: Gender | None
    is_relation: bool = False
    is_plural: bool = False
    sort: Sort = "sure"
    """How sure the noun is to name people.

    doubtful: it mostly means a thing; attribute: an adjective unless it heads its phrase (ياباني); epicene: one noun
    for both genders, which agreement tells (عجوز); couple: one of each; spouses: a couple where marriage is spoken of;
    plural too: also a plural of things (مزارع, farms).
    """


class Adjective(NamedTuple):
    """The gender an adjective shows, and whether things are so too."""

    gender: Gender
    things: bool


_Things = Literal["no", "with_object", "alone"]


class Verb(NamedTuple):
    """The gender a finite verb agrees with, whether things do it too, and how much its form tells.

    `things`: with_object and alone are done by things, to something and to nothing.
    """

    gender: Gender
    things: _Things
    number: Number = "one"
    is_present: bool = True
    is_noun_too: bool = False
    """The form is a noun as well: رسم is a drawing, تسلق climbing."""
    of_animals: bool = False
    """People do it to animals, which are not its subject (يرعى الغنم)."""


class ArabicLexicon(NamedTuple):
    """Folded surface forms by what they are."""

    people: dict[str, Person]
    constructs: dict[str, Person]
    """Forms that stand only before a noun or an owner's pronoun (معلمي المدرسة)."""
    adjectives: dict[str, Adjective]
    past: dict[str, Verb]
    present: dict[str, Verb]
    """By stem, without the prefix ي or ت that tells the gender."""
    present_masculine: dict[str, Verb]
    present_feminine: dict[str, Verb]
    with_madda: frozenset[str]
    embraced: frozenset[str]
    """Forms of verbs that people do to people: the pronoun behind them is somebody (يعانقها)."""
    spelt: dict[str, str]
    sets: dict[str, frozenset[str]]
    """Plain lists of words, by their names in arabic.json and arabic_things.json."""
    fixed: dict[str, list[tuple[str, ...]]]
    """Expressions that name nobody, by their first word, without articles."""
    genders: dict[str, dict[str, Gender]]
    """Pronouns, demonstratives and relatives, by their names in arabic.json."""
    contexts: dict[str, dict[str, frozenset[str]]]
    """only_before, unless_after and unless_before: a form's neighbours."""


@cache
def arabic_lexicon() -> ArabicLexicon:
    """The lexicon, built once per process."""
    words, things = lexicon_file("arabic"), lexicon_file("arabic_things")
    people, constructs = _people(lexicon_file("arabic_people"))
    people = {form: person for form, person in people.items() if form not in words["never"]}
    people |= {form: people[form]._replace(sort="plural too") for form in words["plural_too"]}
    adjectives = _adjectives(lexicon_file("arabic_adjectives"))
    verbs = _Verbs(lexicon_file("arabic_verbs"))
    lists = {name: entries for name, entries in (words | things).items() if isinstance(entries, list)}
    mappings = {name: entries for name, entries in words.items() if isinstance(entries, dict)}
    return ArabicLexicon(
        people={normalise(form): person for form, person in people.items()},
        constructs={normalise(form): person for form, person in constructs.items()},
        adjectives={normalise(form): adjective for form, adjective in adjectives.items()},
        past=verbs.past,
        present=verbs.present,
        present_masculine=verbs.masculine,
        present_feminine=verbs.feminine,
        with_madda=frozenset(normalise(form) for form in {**people, **adjectives} if "آ" in form),
        embraced=frozenset(map(normalise, _embraced(lists["embraced"]))),
        spelt={normalise(form): form for form in lists["spelt"]},
        sets={name: frozenset(map(normalise, entries)) for name, entries in lists.items()},
        fixed=_by_first(tuple(map(_without_article, row.split())) for row in lists["fixed"]),
        genders={
            name: {normalise(word): gender for word, gender in mappings[name].items()}
            for name in ("subject_pronouns", "demonstratives", "relatives", "kinds")
        },
        contexts={
            name: {normalise(word): frozenset(map(normalise, near)) for word, near in mappings[name].items()}
            for name in ("only_before", "unless_after", "unless_before")
        },
    )


def _embraced(rows: list[str]) -> Iterable[str]:
    for row in rows:
        found = forms.verb(*row.split())
        yield from (*found.past_male, *found.past_female)
        yield from (prefix + stem for stem in found.present for prefix in "يت")


def _without_article(word: str) -> str:
    return normalise(word.removeprefix("ال") if len(word) > 3 else word)


def _by_first(rows: Iterable[tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _people(raw: dict[str, Any]) -> tuple[dict[str, Person], dict[str, Person]]:
    people: dict[str, Person] = {}
    constructs: dict[str, Person] = {}
    for section in ("people", "relations", "pairs"):
        for row in raw[section]:
            masculine, feminine, *broken = row.split()
            is_relation = section == "relations"
            _add_masculine(people, constructs, masculine, broken, is_relation)
            if feminine.rstrip(DOUBTFUL) == masculine + "ية":  # قاض: القاضي
                _add_masculine(people, constructs, masculine + "ي", [], is_relation)
            _add_feminine(people, constructs, feminine, is_relation)
    for stem in raw["nationalities"] + raw["callings"]:
        _add_attribute(people, stem)
    genders: dict[str, Gender | None] = {"male": "male", "female": "female", "neutral": None}
    for name, gender in genders.items():
        people |= {word.rstrip(DOUBTFUL): Person(gender, sort=_sort(word)) for word in raw[name]}
    sorts: dict[str, Sort] = {"epicene": "epicene", "couples": "couple", "spouses": "spouses"}
    for name, sort in sorts.items():
        people |= {word: Person(None, sort=sort) for word in raw[name]}
    people |= {word: Person("female", sort="epicene") for word in raw["either"]}
    return people, constructs


def _sort(word: str) -> Sort:
    return "doubtful" if word.endswith(DOUBTFUL) else "sure"


def _add(people: dict[str, Person], found: tuple[str, ...], person: Person) -> None:
    for form in found:
        people.setdefault(form, person)


def _add_masculine(
    people: dict[str, Person], constructs: dict[str, Person], entry: str, broken: list[str], is_relation: bool
) -> None:
    if entry != "-":
        noun = entry.rstrip(DOUBTFUL)
        plural = Person("male", is_relation, is_plural=True)  # things have no sound plural in ون
        _add(people, forms.masculine_plurals(noun), plural)
        _add(people, forms.masculine(noun), Person("male", is_relation, sort=_sort(entry)))
        _add(constructs, forms.in_construct(noun, is_feminine=False), plural)
    for word in broken:
        person = Person("male", is_relation, is_plural=True, sort=_sort(word))
        _add(people, forms.broken_plural(word.rstrip(DOUBTFUL)), person)


def _add_feminine(people: dict[str, Person], constructs: dict[str, Person], entry: str, is_relation: bool) -> None:
    if entry == "-":
        return
    noun = entry.rstrip(DOUBTFUL)
    person = Person("female", is_relation, sort=_sort(entry))
    _add(people, forms.feminine_plurals(noun), person._replace(is_plural=True))
    _add(people, forms.feminine(noun), person)
    _add(constructs, forms.in_construct(noun, is_feminine=True), person._replace(is_plural=True))


def _add_attribute(people: dict[str, Person], stem: str) -> None:
    """A person by country or calling: يابانية is one where no noun stands before it, يابانيون everywhere."""
    _add(people, forms.masculine_plurals(stem), Person("male", is_plural=True, sort="attribute"))
    _add(people, forms.masculine(stem), Person("male", sort="attribute"))
    _add(people, forms.feminine(stem + "ة"), Person("female", sort="attribute"))


def _adjectives(raw: dict[str, Any]) -> dict[str, Adjective]:
    adjectives: dict[str, Adjective] = {}
    for section in ("people", "anything"):
        for row in raw[section]:
            masculine, feminine, *further = row.split()
            if feminine.rstrip(DOUBTFUL) == masculine + "ية":
                further.append(masculine + "ي")
            genders: dict[Gender, list[str]] = {"male": [masculine, *further], "female": [feminine]}
            for gender, entries in genders.items():
                for entry in entries:
                    found = _adjective_forms(entry.rstrip(DOUBTFUL), is_feminine=gender == "female")
                    things = section == "anything" or entry.endswith(DOUBTFUL)
                    for form in found:
                        adjectives.setdefault(form, Adjective(gender, things))
    return adjectives


def _adjective_forms(word: str, *, is_feminine: bool) -> tuple[str, ...]:
    if word == "-":
        return ()
    return forms.feminine(word) if is_feminine else forms.masculine(word)


class _Verbs:
    """The forms of the verbs of one lexicon file, folded."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.past: dict[str, Verb] = {}
        self.present: dict[str, Verb] = {}
        self.masculine: dict[str, Verb] = {}
        self.feminine: dict[str, Verb] = {}
        self._plain = set(raw["plain_past"])
        of_animals = set(raw["of_animals"])
        sections: dict[str, _Things] = {"things_alone": "alone", "things_with_object": "with_object", "people": "no"}
        for section, things in sections.items():
            for row in raw[section]:
                self._add(row.split(), Verb("male", things, of_animals=row in of_animals))

    def _add(self, row: list[str], verb: Verb) -> None:
        found = forms.verb(*row)
        past = verb._replace(is_present=False)
        for form in found.past_male:
            is_noun_too = form == row[0] and row[0] not in self._plain
            number: Number = "one" if form == row[0] else "many" if form.endswith("وا") else "two"
            self._put(self.past, form, past._replace(number=number, is_noun_too=is_noun_too))
        for form in found.past_female:
            number = "many" if form.endswith("ن") else "two" if form.endswith("تا") else "one"
            self._put(self.past, form, past._replace(gender="female", number=number, is_noun_too=number == "two"))
        for stems, mapping in (
            (found.present, self.present),
            (found.present_masculine, self.masculine),
            (found.present_feminine, self.feminine),
        ):
            for stem in stems:
                self._put(mapping, stem, verb)

    @staticmethod
    def _put(mapping: dict[str, Verb], form: str, verb: Verb) -> None:
        """Of two verbs that look alike, things do the form if they do either."""
        mapping.setdefault(normalise(form), verb)
