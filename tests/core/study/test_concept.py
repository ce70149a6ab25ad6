"""The section `concepts` of a study, and its short form `concept`."""

from typing import Any

import pytest

from core.errors import BadInput
from core.planning.loading import override_study, parse_study

STUDY: dict[str, Any] = {"name": "own", "data": {"source": "scenes"}, "model": {"path": "m"}}
PLACE = {"name": "place", "column": "place", "positive": "garden", "negative": "forest"}


def test_a_study_without_concepts_has_no_trace_of_them() -> None:
    assert "concepts" not in parse_study(STUDY, "own").model_dump(mode="json")


def test_one_concept_may_stand_alone() -> None:
    one, listed = (parse_study({**STUDY, **own}, "own") for own in ({"concept": PLACE}, {"concepts": [PLACE]}))
    assert one == listed
    assert parse_study(one.model_dump(mode="json"), "own") == one


def test_a_concept_makes_a_variant() -> None:
    found = override_study(STUDY, ["concept.name=place", "concept.column=place"], "own")
    assert found.variant.startswith('concepts=[{"name":"place","column":"place"')


TWO: dict[str, Any] = {**STUDY, "concepts": [{"name": "gender"}, PLACE]}


def test_an_override_names_an_item_of_a_list_by_its_number() -> None:
    found = override_study(TWO, ["concepts.1.name=where", "concepts.0={name: gender}"], "own")
    assert [one.name for one in found.concepts] == ["gender", "where"]
    assert found.concepts[1].column == "place" and TWO["concepts"][1]["name"] == "place"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "concept.name=where",
            "own: concept and concepts are one field; list all in concepts (concepts.0 is the first)",
        ),
        (
            "concepts.2.name=where",
            "--set 'concepts.2.name=where': concepts is a list; "
            "write concepts.0 to concepts.1 for its items, or concepts=[…] for all of it",
        ),
        (
            "concepts.name=where",
            "--set 'concepts.name=where': concepts is a list; "
            "write concepts.0 to concepts.1 for its items, or concepts=[…] for all of it",
        ),
        (
            "concepts.1.words={garden: {en: [park]}}",
            "own: concepts.1: words has the classes 'garden'; it takes two, called as positive and negative are",
        ),
        ("concepts={name: place}", "own: concepts: it takes a list: […]"),
    ],
)
def test_a_wrong_override_names_the_field_alone(override: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        override_study(TWO, [override], "own")
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concept": PLACE, "concepts": [PLACE]}, "concept and concepts are one field"),
        ({"concepts": [PLACE, PLACE]}, "two are called 'place'; rename one"),
        ({"concept": {**PLACE, "negative": None}}, "positive and negative belong together"),
        ({"concept": {**PLACE, "negative": "garden"}}, "both 'garden'; name two classes"),
        (
            {"concept": {**PLACE, "words": {"yard": {}, "wood": {}}}},
            "it takes two, called as positive and negative are",
        ),
        ({"concept": {**PLACE, "negative": "both"}}, "'both' is the label of captions that are on both sides"),
        ({"concept": {**PLACE, "positive": "none"}}, "'none' is the label of captions that are on neither side"),
        ({"concept": {**PLACE, "colum": "x"}}, "concepts.0.colum: unknown key; did you mean 'column'"),
        ({"concept": {**PLACE, "name": "split"}}, "'split' is a column of the tables that a study writes"),
        ({"concept": {"name": "a b"}}, "concepts.0.name: 'a b' is wrong"),
    ],
)
def test_a_wrong_section_is_refused_with_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_study({**STUDY, **given}, "own")
