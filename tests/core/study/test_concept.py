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
