"""Numbers as sentences have them."""

import pytest

from core.stats.written import beside_frozen, number, real_minus, with_ends

ROW = {"beyond_frozen": -2.849, "beyond_frozen_low": -3.331, "beyond_frozen_high": -2.37}


def test_a_difference_has_a_real_minus_and_words_that_fit_either_sign() -> None:
    assert beside_frozen(ROW, 2) == "difference to the frozen dictionary's: −2.85 [−3.33, −2.37]"
    turned = {name: -value for name, value in ROW.items()}
    assert beside_frozen(turned, 2) == "difference to the frozen dictionary's: 2.85 [3.33, 2.37]"
    assert with_ends(ROW, "beyond_frozen", 1) == "−2.8 [−3.3, −2.4]"


def test_what_is_no_number_is_written_as_such() -> None:
    assert [number(None), number(float("nan")), number(float("-inf")), number(-1e-6)] == ["–", "–", "−∞", "−1.0·10^−6"]


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("is -0.30 [-0.4, -0.2]", "is −0.30 [−0.4, −0.2]"),
        ("layers 1-2 of gemma-3, one-sided", "layers 1-2 of gemma-3, one-sided"),
        ("doses (-4) to +4", "doses (−4) to +4"),
        ("2026-11-28", "2026-11-28"),
    ],
)
def test_a_hyphen_before_a_negative_number_becomes_a_minus(words: str, written: str) -> None:
    assert real_minus(words) == written
