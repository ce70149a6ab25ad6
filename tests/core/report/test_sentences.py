"""Findings in words: no more than the evidence supports."""

from dataclasses import replace

from core.report.sentences import headline, resolved, sentence, sentences, verdicts
from core.stats.estimate import Control
from tests.core.stats.test_estimate import FOUND


def test_a_found_effect_stands_with_interval_control_and_p_at_its_resolution() -> None:
    one = replace(FOUND, language="ar", layer=3, chosen="of 3 layers", condition="5 features set to zero")
    assert sentence(replace(one, family="6 tests", caveats=("few images",))) == (
        "Found (Arabic, layer 3, of 3 layers): shift of the first gendered word, 5 features set to zero, 0.30 "
        "[0.20, 0.40] nats (64 test images); beyond 100 matched feature sets (0.00 [−0.10, 0.10]); two-sided p "
        "≤ 0.0099, q = 0.02 over 6 tests. Few images."
    )


def test_an_effect_without_its_evidence_is_called_highest_ranked_or_not_found() -> None:
    weak = sentence(replace(FOUND, q=0.3))
    assert weak.startswith("Weak: ")
    inside = replace(FOUND, value=0.05, interval=(-0.1, 0.2), q=0.3)
    assert sentence(inside).startswith("Not found: ") and "not beyond 100 matched feature sets" in sentence(inside)
    assert "no control" in sentence(replace(FOUND, control=None))


def test_a_description_claims_nothing_and_needs_no_control() -> None:
    described = replace(FOUND, described=True, control=None, p=None, q=None, unit="share")
    assert sentence(described) == ("Measured: shift of the first gendered word, 30.0 [20.0, 40.0] % (64 test images).")


def test_answers_come_first_and_give_the_verdict_by_language() -> None:
    english = replace(FOUND, language="en", answers=True)
    arabic = replace(FOUND, language="ar", answers=True, q=0.4)
    detail = replace(FOUND, language="ar", quantity="detail")
    assert verdicts([detail, english, arabic]) == {"en": "found", "ar": "weak"}
    assert "detail" in sentences([detail, english, arabic])[-1]


def test_a_control_measured_once_has_no_draws_in_its_sentence() -> None:
    assert "beyond shuffled labels (0.00" in sentence(replace(FOUND, control=Control("shuffled labels", 0, -0.1, 0.1)))


def test_no_p_is_printed_below_the_resolution_of_its_draws() -> None:
    assert resolved(1 / 101, 100) == "≤ 0.0099"
    assert resolved(0.02, 100) == "= 0.02"
    assert resolved(1e-9, 0) == "< 0.001"


def test_a_sentence_has_all_caveats_and_a_headline_the_first() -> None:
    one = replace(FOUND, caveats=("few images", "by -0.2 [-0.3, -0.1]"), condition="dose -4")
    assert sentence(one).endswith(". Few images. By −0.2 [−0.3, −0.1].") and "dose −4" in sentence(one)
    assert headline(one).endswith(". Few images.") and sentence(one).startswith(headline(one))
    assert sentences([one])[0] == sentence(one)
    assert sentence(FOUND) == headline(FOUND)
