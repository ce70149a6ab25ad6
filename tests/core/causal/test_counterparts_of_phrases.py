"""Swaps of a caption's words by the lists of a concept that a study describes."""

import polars as pl
import pytest

from core.causal.counterparts import swaps_by_lexicon, telling_spans
from core.data.studied_concept import studied_concept
from core.study.concept import StudiedConcept

ROOM = studied_concept(
    StudiedConcept(
        name="room",
        words={
            "inside": {"en": ["living room", "hall"], "ar": ["مطبخ"]},
            "outside": {"en": ["yard", "garden"], "ar": ["حديقة"]},
        },
    ),
    pl.DataFrame(),
)


@pytest.mark.parametrize(
    ("caption", "language", "expected"),
    [
        ("In the living room, near a hall.", "en", [("living room", "yard"), ("hall", "garden")]),
        ("A yard is no living-room.", "en", [("yard", "living room"), ("living-room", "yard")]),
        ("The Hall's door.", "en", [("Hall", "Garden")]),
        ("امرأة بالمطبخ.", "ar", [("بالمطبخ", "بالحديقة")]),
        ("مطبخها وحديقة", "ar", []),  # the first word has no sure counterpart, so that no later one is the first
    ],
)
def test_a_phrase_is_swapped_as_one_word(caption: str, language: str, expected: list[tuple[str, str]]) -> None:
    swaps = swaps_by_lexicon(ROOM, caption, language)
    assert [(caption[swap.start : swap.end], swap.other) for swap in swaps] == expected


def test_every_word_of_a_phrase_tells_the_side() -> None:
    caption = "In the living room a dog sleeps."
    told = telling_spans(ROOM, caption, "en", swaps_by_lexicon(ROOM, caption, "en"))
    assert [caption[slice(*span)] for span in told] == ["living", "room"]
