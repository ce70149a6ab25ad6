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


SIGNED = WordLists(
    "en",
    ("one", "other"),
    (["4x4", "C++", "don't", "U.S.", "1.5 l"], ["children's room", "boys' room", "café", "R&B", "🍕"]),
)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Solve for x on page 4; C is no list, dont don.", []),
        ("A 4X4, written in C++.", ["4X4", "C++"]),
        ("They don\u2019t know the U.S.", ["don\u2019t", "U.S"]),
        ("A U.S. flag, the US flag and 1.5 l of 15 l.", ["U.S", "1.5 l"]),
        ("The Children\u2019s room, the boys' room.", ["Children\u2019s room", "boys' room"]),
        ("Children in a room: a Cafe's R&B with 🍕!", ["Cafe", "R&B", "🍕"]),
        ("R and B, a 🍔", []),
    ],
)
def test_digits_inner_marks_and_signs_belong_to_a_word(caption: str, expected: list[str]) -> None:
    assert [text for text, _, _ in found(SIGNED, caption)] == expected


def test_every_entry_is_found_in_its_own_text_alone() -> None:
    for side, words in zip(SIGNED.sides, SIGNED.words, strict=True):
        for entry in words:
            assert SIGNED.finds(entry)
            assert [(own.start, own.side) for own in SIGNED.find(f"({entry})")] == [(1, side)]
    assert not SIGNED.finds("pots, pans")


def test_arabic_lists_have_digits_and_signs_too() -> None:
    lists = WordLists("ar", ("one", "other"), (["سيارة 4x4", "٢٠٢٠"], ["مطبخ"]))
    text = "السيارة 4x4 في ٢٠٢٠ و2020 بالمطبخ، وسيارة x"
    assert [part for part, _, _ in found(lists, text)] == ["السيارة 4x4", "٢٠٢٠", "و2020", "بالمطبخ"]


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
