"""The words that the other gender changes, found by a counterpart of the user's own or without it."""

from typing import Any

import polars as pl
import pytest

from core.causal.counterparts import swaps_by_lexicon, swaps_by_truth, swaps_by_twin, words_of
from core.causal.pairs import find_swaps
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs


@pytest.fixture
def inputs() -> AnalysisInputs:
    def closed(*_: object) -> Any:
        raise AssertionError("nothing is opened")

    return AnalysisInputs(
        pl.DataFrame(),
        None,
        None,
        layers=(),
        languages=("en", "ar"),
        open_layer=closed,
        open_model=closed,
        instructions={},
        concept=THE_CONCEPT,
    )


def row(language: str, caption: str, gender: str) -> dict[str, Any]:
    return {"sample_id": "s", f"caption_{language}": caption, f"gender_{language}": gender}


@pytest.mark.parametrize(
    ("language", "female", "male", "words"),
    [
        ("en", "A woman reads her book.", "A man reads his book.", [("woman", "man"), ("her", "his")]),
        ("en", "The stewardess smiles.", "The steward smiles.", [("stewardess", "steward")]),
        ("ar", "هذه طبيبة تقرأ", "هذا طبيب يقرأ", [("هذه", "هذا"), ("طبيبة", "طبيب"), ("تقرأ", "يقرأ")]),
        # Not minimal: what differs first is no gendered word, so the lexicon says what does.
        ("en", "In Paris a woman reads.", "In Rome a man reads.", [("woman", "man")]),
        ("en", "Two cats and a woman.", "Three dogs and a man.", [("woman", "man")]),
    ],
)
def test_a_counterpart_shows_the_gendered_words(
    inputs: AnalysisInputs, language: str, female: str, male: str, words: list[tuple[str, str]]
) -> None:
    found = find_swaps(inputs, row(language, female, "female"), row(language, male, "male"), language)
    assert [(female[swap.start : swap.end], swap.other) for swap in found] == words


def test_a_counterpart_of_the_same_gender_shows_none(inputs: AnalysisInputs) -> None:
    caption = "A woman reads."
    found = find_swaps(inputs, row("en", caption, "female"), row("en", "A girl reads.", "female"), "en")
    assert [(swap.other) for swap in found] == ["man"]


def test_words_differ_by_twin_by_truth_and_by_lexicon() -> None:
    swaps = swaps_by_twin("هذه طبيبة، وهي تقرأ.", "هذا طبيب، وهو يقرأ.")
    assert [(swap.start, swap.end, swap.other) for swap in swaps] == [
        (0, 3, "هذا"),
        (4, 9, "طبيب"),
        (11, 14, "وهو"),
        (15, 19, "يقرأ"),
    ]
    truth = {"samples": {"7": {"gendered_words": {"en": [{"start": 2, "end": 7, "counterpart": "man"}]}}}}
    assert swaps_by_truth(GENDER, truth, "7", "en")[0].other == "man"
    assert swaps_by_truth(GENDER, truth, "8", "en") == swaps_by_truth(GENDER, None, "7", "en") == []
    found = swaps_by_lexicon(GENDER, "She sees a human boy.", "en")
    assert [swap.other for swap in found] == ["He", "girl"]
    assert [swap.other for swap in swaps_by_lexicon(GENDER, "A king-size bed; a woman with her book.", "en")] == [
        "man",
        "his",
    ]
    assert swaps_by_lexicon(GENDER, "Sarah reads her book.", "en") == [], (
        "the name tells the gender before any word can"
    )
    assert words_of("a b'c-d") == [(0, 1), (2, 3), (4, 5), (6, 7)]
