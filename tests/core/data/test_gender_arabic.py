"""What tells gender in an Arabic caption, where it stands, and what is left open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.arabic_lexicon import arabic_lexicon
from core.data.gender import label_caption


def gendered(text: str) -> list[tuple[str, str, str]]:
    return [(token.text, token.gender, token.kind) for token in label_caption(text, "ar").tokens]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("تقف في المطبخ وتطبخ", [("تقف", "female", "verb"), ("وتطبخ", "female", "verb")]),
        ("عجوز تجلس أمام الباب", [("تجلس", "female", "verb")]),
        ("هو يقرأ وهي تكتب", [("هو", "male", "pronoun"), ("وهي", "female", "pronoun")]),
        ("العروسان هنا", [("العروسان", "female", "noun"), ("العروسان", "male", "noun")]),
        ("أستاذها هنا", [("أستاذ", "male", "noun"), ("ها", "female", "possessive")]),
        ("رجل هنا يعانقها", [("رجل", "male", "noun"), ("يعانقها", "male", "verb"), ("ها", "female", "pronoun")]),
        ("سيده تقرأ", [("سيده", "female", "noun"), ("تقرأ", "female", "verb")]),
        ("صديقه هنا", [("صديق", "male", "noun"), ("ه", "male", "possessive")]),
        ("لقاء مهندسَي الشركة", [("مهندسَي", "male", "noun")]),
        ("فريق نسائي", [("نسائي", "female", "adjective")]),
        ("كان نائما في الحافلة", [("نائما", "male", "adjective")]),
        ("صورة عبد الرحمن", [("عبد الرحمن", "male", "name")]),
        ("في يدها وردة", [("ها", "female", "possessive")]),
        ("صبية يلعبون", [("يلعبون", "male", "verb")]),
    ],
)
def test_what_tells_gender_is_marked_and_nothing_else(text: str, words: list[tuple[str, str, str]]) -> None:
    assert gendered(text) == words


def test_spans_are_of_the_caption_as_it_is_written() -> None:
    for written, noun in (
        ("صورة امر\u00adأة", "امر\u00adأة"),
        ("ﺍﻣﺮﺃﺓ ﺗﻘﺮﺃ", "ﺍﻣﺮﺃﺓ"),
        ("طبـــيبة هنا", "طبـــيبة"),
        ("في الدار ممرضہ تبتسم", "ممرضہ"),
        ("رجالاً هنا", "رجالاً"),
        ("طالب\u200dة هنا", "طالب\u200dة"),
    ):
        token = label_caption(written, "ar").tokens[0]
        assert (token.text, written[token.start : token.end]) == (noun, noun)


@pytest.mark.parametrize(
    ("text", "gender"),
    [
        ("سيده في المطبخ", "female"),
        ("طفله في الحديقة", "male"),
        ("صبية في الحديقة", "female"),
        ("تقف في الشارع", "female"),
        ("زهير تبتسم", "female"),
    ],
)
def test_what_can_be_read_otherwise_keeps_the_likelier_label_and_says_so(text: str, gender: str) -> None:
    label = label_caption(text, "ar")
    assert (label.gender, label.ambiguous) == (gender, True)


@pytest.mark.parametrize(
    "text",
    [
        "سيده تقرأ",
        "رجل وطفله في الحديقة",
        "السيده في المطبخ",
        "صديقه يقرأ",
        "تقف في المطبخ وتطبخ",
        "بائعه الخضار",
        "رجل",
    ],
)
def test_what_grammar_decides_is_not_ambiguous(text: str) -> None:
    assert not label_caption(text, "ar").ambiguous


def test_a_name_is_weaker_than_what_agrees_with_its_bearer() -> None:
    assert gendered("نور تغني") == [("تغني", "female", "verb")]
    assert label_caption("نور الشمس", "ar").gender == "none"
    assert [token.kind for token in label_caption("أمل تكتب رسالة", "ar").tokens] == ["name", "verb"]


_WORDS = sorted({*arabic_lexicon().people, *arabic_lexicon().adjectives, *arabic_lexicon().past})
_PARTS = st.tuples(
    st.sampled_from(["", "و", "ال", "لل", "ب", "أ", "ي", "ت", "س"]),
    st.sampled_from(_WORDS),
    st.sampled_from(["", "ه", "ها", "ون", "ي", "ة", "َ", "،", "؟"]),
)


@given(st.lists(_PARTS, max_size=7))
def test_any_words_have_a_label_whose_spans_are_theirs(parts: list[tuple[str, str, str]]) -> None:
    text = " ".join("".join(part) for part in parts)
    label = label_caption(text, "ar")
    assert all(token.text and text[token.start : token.end] == token.text for token in label.tokens)
    assert [token.start for token in label.tokens] == sorted(token.start for token in label.tokens)
