import pytest

from core.data.arabic import normalise
from core.data.gender_words import Gender, GenderedWord, Kind, Referent, lexicon_file
from core.data.given_names import given_name, weigh_names
from core.data.languages import Language


def word(start: int, gender: Gender, kind: Kind, referent: Referent = "subject") -> GenderedWord:
    return GenderedWord(start, start + 3, "xxx", gender, referent, kind)


@pytest.mark.parametrize(
    ("name", "language", "gender"),
    [
        ("Sarah", "en", "female"),
        ("JOHN", "en", "male"),
        ("john", "en", None),
        ("Taylor", "en", "neutral"),
        ("Rose", "en", None),
        ("Table", "en", None),
        ("سارة", "ar", "female"),
        ("أحمد", "ar", "male"),
        ("عبد الرحمن", "ar", "male"),
        ("نور", "ar", "neutral"),
        ("سعيد", "ar", None),
    ],
)
def test_a_name_tells_the_gender_it_is_given_to(name: str, language: Language, gender: str | None) -> None:
    assert given_name(name if language == "en" else normalise(name), language) == gender


def test_a_name_that_is_a_word_too_is_known_only_where_a_person_is_meant() -> None:
    assert given_name("Rose", "en", is_person=True) == "female"
    assert given_name("سعيد", "ar", is_person=True) == "male"


def test_every_name_is_in_one_list() -> None:
    for language, fold in (("en", str.lower), ("ar", normalise)):
        lists = lexicon_file("names")[language]
        folded = [fold(name) for names in lists.values() for name in set(names)]
        assert len(set(folded)) == len(folded)
        assert min(len(lists["female"]), len(lists["male"])) >= 180


def test_a_word_that_speaks_of_the_bearer_outweighs_the_name() -> None:
    name = word(0, "female", "name")
    assert weigh_names([name, word(10, "male", "possessive", "possessor")])[0].kind == "possessive"
    assert weigh_names([word(10, "male", "verb"), word(20, "female", "name")])[0].kind == "verb"


def test_a_word_that_speaks_of_somebody_else_leaves_the_name() -> None:
    name = word(20, "female", "name")
    for others, neutral in (
        ([word(30, "male", "noun")], []),
        ([word(10, "male", "name"), word(30, "male", "possessive", "possessor")], []),
        ([word(30, "male", "pronoun", "object")], []),
        ([word(10, "male", "pronoun")], []),
        ([word(30, "male", "possessive", "possessor")], [25]),
        ([word(30, "female", "pronoun")], []),
    ):
        assert name in weigh_names([name, *others], neutral)
