"""A feature in words: where it fires, as far as its tests support."""

from typing import Any

import pytest

from core.analysis.interpretation.words import UNSUPPORTED, in_words
from core.data.gender_concept import GENDER


def told(**changes: Any) -> dict[str, Any]:
    fields = {"language": "ar", "position_set": "pre-gender", "auroc": 0.9, "passes": True, "own": True}
    return {**fields, "shared_with": None, **changes}


TOLD: dict[str, Any] = {
    "low": 0.8, "score": 0.9, "control": 0.5, "kind": "token", "explanation": "tokens ‹a›, ‹b›, ‹c›, ‹d›",
}  # fmt: skip
UNTOLD = {**TOLD, "low": 0.4}


@pytest.mark.parametrize(
    ("tests", "explained", "words"),
    [
        ([told()], UNTOLD, "fires more before a female word in Arabic captions"),
        ([told(auroc=0.1)], UNTOLD, "fires more before a male word in Arabic captions"),
        ([told(language="shared", position_set="image", auroc=0.1)], UNTOLD, "fires more on pictures of men"),
        ([told(), told(language="en")], UNTOLD, "fires more before a female word in English and Arabic captions"),
        (
            [told(language="en", position_set="last-prompt")],
            UNTOLD,
            "fires more at the end of the prompt, before English captions of women",
        ),
        (
            [told(language="shared", position_set="last-prompt")],
            UNTOLD,
            "fires more at the end of the prompt, before captions of women",
        ),
        ([told()], TOLD, "fires more before a female word in Arabic captions; most on ‹a›, ‹b›, ‹c›"),
        ([told()], {**TOLD, "control": 0.95}, "fires more before a female word in Arabic captions"),
        (
            [told(), told(language="en", own=False, passes=False)],
            UNTOLD,
            "fires more before a female word in Arabic captions",
        ),
        ([told(own=False, shared_with="place")], UNTOLD, "shared with place"),
        (
            [told(own=False, shared_with="place")],
            {**TOLD, "kind": "place", "explanation": "images with place = park"},
            "shared with place; most on images with place = park",
        ),
        ([told(own=False, passes=False)], TOLD, UNSUPPORTED),
        ([told(own=False, passes=False, shared_with="place")], TOLD, UNSUPPORTED),
        ([], TOLD, UNSUPPORTED),
    ],
)
def test_words_say_what_the_tests_support(tests: list[Any], explained: dict[str, Any], words: str) -> None:
    assert in_words(tests, explained, GENDER) == words
