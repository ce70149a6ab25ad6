"""What a reader does not see changes no word, and every character can be found again in the text as it is written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.spelling import fold


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("The fiance\u0301e", "The fiancée"),
        ("A wo\u00adman", "A woman"),
        ("A wo-\nman reads", "A woman reads"),
        ("A wo\u00ad\r\n  man reads", "A woman reads"),
        ("A wo\u200b\u2060m\u034fan\ufe0f", "A woman"),
        ("a \ufb01ancée", "a fiancée"),
        ("ＷＯＭＡＮ", "WOMAN"),
        ("𝐰𝐨𝐦𝐚𝐧", "woman"),
        ("the woman’s hat", "the woman's hat"),
        ("well‑known", "well-known"),
        ("Barbie™ and men²", "Barbie™ and men²"),
        ("امر\u00adأة", "امرأة"),
        ("ﺍﻣﺮﺃﺓ", "امرأة"),
        ("رجل\u200fيقرأ", "رجليقرأ"),
        ("a woman -\nsmiling", "a woman -\nsmiling"),
        ("a mother-\nin-law", "a mother-in-law"),
        ("a mother-in-\nlaw", "a mother-in-law"),
        ("Ma\u00b4am and ma`am and ma\u2032am", "Ma'am and ma'am and ma'am"),
    ],
)
def test_a_text_is_folded_to_what_a_reader_sees(written: str, seen: str) -> None:
    assert fold(written).text == seen


def test_a_span_points_into_the_text_as_it_is_written() -> None:
    written = "A \u200bwo\u00adma-\nn with her fiance\u0301e."
    folded = fold(written)
    for word, stretch in (("woman", "wo\u00adma-\nn"), ("her", "her"), ("fiancée", "fiance\u0301e")):
        start = folded.text.index(word)
        begin, end = folded.span(start, start + len(word))
        assert written[begin:end] == stretch


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_folding_twice_changes_nothing_and_offsets_ascend(text: str) -> None:
    folded = fold(text)
    assert fold(folded.text).text == folded.text
    assert len(folded.starts) == len(folded.ends) == len(folded.text)
    assert list(folded.starts) == sorted(folded.starts)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends))


@given(st.text(st.sampled_from("abé woman\u00ad\u200bﬁＡ"), max_size=20))
def test_without_line_ends_folding_is_nfkc_of_what_is_seen(text: str) -> None:
    seen = "".join(character for character in text if unicodedata.category(character) != "Cf")
    assert fold(text).text == unicodedata.normalize("NFKC", seen)
