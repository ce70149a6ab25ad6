"""A user's own words in captions: found as a reader sees them, with the word that the other class has there."""

import pytest

from core.data.listed_words import WordLists

ENGLISH = WordLists(
    "en",
    ("kitchen", "garden"),
    (["kitchen", "living room", "room"], ["garden", "back yard", "shed"]),
    [("kitchen", "garden"), ("living room", "back yard"), ("room", "shed")],
)
ARABIC = WordLists(
    "ar",
    ("kitchen", "garden"),
    (["مطبخ", "غرفة نوم"], ["حديقة", "فناء"]),
    [("مطبخ", "حديقة"), ("غرفة نوم", "فناء")],
)
Found = list[tuple[str, str, str | None]]


def found(lists: WordLists, text: str) -> Found:
    return [(text[word.start : word.end], word.side, lists.counterpart(text, word)) for word in lists.find(text)]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A woman in the Kitchen's corner.", [("Kitchen", "kitchen", "Garden")]),
        ("THE KITCHEN", [("KITCHEN", "kitchen", "GARDEN")]),
        ("A ki\u00adtchen.", [("ki\u00adtchen", "kitchen", "garden")]),
        # a phrase counts once, with a hyphen too, and the longer one of two that begin alike
        ("In the living-room, then a room.", [("living-room", "kitchen", "back yard"), ("room", "kitchen", "shed")]),
        ("They are living. Room for more.", [("Room", "kitchen", "Shed")]),
        # whole words alone: no plural, no part of another word
        ("Kitchens, kitchenette and gardener.", []),
    ],
)
def test_english_words_are_whole_words_as_a_reader_sees_them(caption: str, expected: Found) -> None:
    assert found(ENGLISH, caption) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("امرأة في المَطْبَخِ.", [("المَطْبَخِ", "kitchen", "الحديقة")]),  # diacritics and the article
        ("بالمطبخ وللحديقة", [("بالمطبخ", "kitchen", "بالحديقة"), ("وللحديقة", "garden", "وللمطبخ")]),
        ("في غرفة نوم كبيرة", [("غرفة نوم", "kitchen", "فناء")]),
        ("في غرفة النوم", [("غرفة النوم", "kitchen", None)]),  # whether the other takes an article is not known
        ("مطبخها", [("مطبخها", "kitchen", None)]),  # nor how it is spelt before a pronoun
        ("حديقتها", [("حديقتها", "garden", None)]),  # ة is ت there
        ("مطبخي أو طبخ", [("مطبخي", "kitchen", None)]),
    ],
)
def test_arabic_words_are_found_behind_clitics_and_marks(caption: str, expected: Found) -> None:
    assert found(ARABIC, caption) == expected


def test_a_word_in_both_lists_is_told_whatever_its_case() -> None:
    assert WordLists("en", ("a", "b"), (["Park", "zoo"], ["park"])).in_both() == ["Park"]


def test_lists_without_pairs_give_no_counterpart() -> None:
    lists = WordLists("en", ("a", "b"), (["park", "zoo"], ["house"]))
    assert found(lists, "A park and a house.") == [("park", "a", None), ("house", "b", None)]
