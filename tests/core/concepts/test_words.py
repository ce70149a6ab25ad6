"""Words of any script end where a reader sees them end, and at their last token."""

import pytest

from core.concepts.words import complete_words, word_ends


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("She didn't sing.", ["She", "didn't", "sing"]),
        ("the man\u2019s well-known \u2018book\u2019", ["the", "man\u2019s", "well", "known", "book"]),
        ("كَتَبَت الطبيبةُ كتـاباً، ثم نامت؟", ["كَتَبَت", "الطبيبةُ", "كتـاباً", "ثم", "نامت"]),
        ("طبيبة تغني 😀 في حديقة", ["طبيبة", "تغني", "في", "حديقة"]),
        ("\U0001f469\u200d\U0001f373 cooks", ["cooks"]),
        ("cafe\u0301 7 dogs", ["cafe\u0301", "7", "dogs"]),
        ("!!! …", []),
        ("", []),
    ],
)
def test_words_end_behind_their_last_letter_digit_or_mark(text: str, words: list[str]) -> None:
    start, ends = 0, []
    for word in words:
        start = text.index(word, start) + len(word)
        ends.append(start)
    assert word_ends(text) == ends


def test_a_word_is_complete_at_its_last_token() -> None:
    # A| wom|an| sings|.   and a token that ends two words at once
    assert complete_words("A woman sings.", [1, 5, 7, 13, 14]) == [1, 1, 2, 3, 3]
    assert complete_words("in the park", [6, 11]) == [2, 3]


def test_the_last_part_of_a_character_ends_its_word() -> None:
    # the second letter as two tokens: both end where the character ends
    assert complete_words("اب ج", [1, 2, 2, 4]) == [0, 0, 1, 2]
