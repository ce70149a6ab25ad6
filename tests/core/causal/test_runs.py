"""Batches of captions, and the words that a caption and its counterpart differ in."""

from core.causal.counterparts import swaps_by_lexicon, swaps_by_truth, swaps_by_twin, words_of
from core.causal.runs import portions
from core.data.gender_concept import GENDER


def test_portions_hold_no_more_than_their_tokens_once_padded() -> None:
    cut = portions([5, 9, 3, 9, 40], 20)
    assert sorted(index for part in cut for index in part) == [0, 1, 2, 3, 4]
    assert all(len(part) * max([5, 9, 3, 9, 40][i] for i in part) <= 20 or len(part) == 1 for part in cut)


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
