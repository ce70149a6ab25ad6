"""What a caption tells of the concept, and its other words."""

import pytest

from core.data.caption_sets import BOTH, NO_SIDE, frequent, has, other_words, told
from core.data.gender_concept import GENDER


@pytest.mark.parametrize(
    ("text", "language", "side"),
    [
        ("A woman reads her book.", "en", "female"),
        ("A person reads a book.", "en", NO_SIDE),
        ("A woman reads his book.", "en", BOTH),
        ("امرأة تقرأ كتابا", "ar", "female"),
        ("", "en", NO_SIDE),
    ],
)
def test_a_caption_tells_one_side_both_or_none(text: str, language: str, side: str) -> None:
    assert told(GENDER, text, language) == side


def test_words_that_tell_a_side_are_taken_out() -> None:
    assert other_words(GENDER, "The Woman reads her red book.", "en") == ("the", "reads", "red", "book")
    assert "امرأة" not in other_words(GENDER, "في الحديقة امرأة سعيدة", "ar")


def test_frequent_words_are_neither_in_all_captions_nor_in_one() -> None:
    captions = [("a", "cat"), ("a", "cat", "red"), ("a", "red", "cat"), ("a", "dog")]
    assert frequent(captions, 5) == ["cat", "red"] and frequent(captions, 1) == ["cat"]
    assert has(captions, ["cat", "dog"]).tolist() == [[True, False], [True, False], [True, False], [False, True]]
    assert has([], ["cat"]).shape == (0, 1)
