import math

import pytest

from core.report import text


@pytest.mark.parametrize(
    ("value", "places", "shown"),
    [
        (1234.5, 1, "1,234.5"),
        (-0.25, 2, "−0.25"),
        (0.0, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (0.0049, 2, "0.0049"),
        (0.047, 1, "0.047"),
        (-0.00042, 2, "−0.00042"),
        (0.000099, 2, "9.9·10^−5"),
        (None, 2, "–"),
        (math.nan, 2, "–"),
    ],
)
def test_numbers_have_a_real_minus_and_never_round_to_nothing(value: float | None, places: int, shown: str) -> None:
    assert text.number(value, places) == shown


def test_infinities_are_named() -> None:
    assert (text.number(math.inf), text.number(-math.inf)) == ("∞", "−∞")


def test_a_column_has_the_decimals_of_its_middling_values() -> None:
    assert text.decimals([0.912, 0.5, 0.88]) == 3
    assert text.decimals([120.0, 4000.0, 300.0]) == 0
    assert text.decimals([]) == 2


def test_small_probabilities_are_given_as_a_bound() -> None:
    assert (text.p_value(1e-9), text.p_value(0.0312), text.p_value(None)) == ("< 0.001", "0.031", "–")


@pytest.mark.parametrize(
    ("words", "arabic"), [("امرأة تطبخ", True), ("a woman", False), ("a امرأة", True), ("123 !", False)]
)
def test_arabic_is_known_by_its_letters(words: str, arabic: bool) -> None:
    assert text.is_arabic(words) is arabic


def test_arabic_runs_are_set_apart_whole_and_escaped() -> None:
    assert text.mixed("<x> (طبيبة في المطبخ)") == '&lt;x&gt; (<bdi dir="rtl" lang="ar">طبيبة في المطبخ</bdi>)'


def test_changed_words_are_found_word_by_word() -> None:
    assert text.changed_words("a woman cooks", "a man cooks now") == [
        ("a", False),
        ("man", True),
        ("cooks", False),
        ("now", True),
    ]
    assert text.changed_words("", "new") == [("new", True)]


def test_durations_read_naturally() -> None:
    assert [text.seconds(value) for value in (3.21, 125, 7800)] == ["3.2 s", "2 min 05 s", "2 h 10 min"]


def test_strip_weights_survive_nothing_and_nan() -> None:
    assert text.strip_weights([0.0, 0.0]) == [0.0, 0.0]
    assert text.strip_weights([math.nan, -2.0, 1.0]) == [0.0, -1.0, 0.5]
