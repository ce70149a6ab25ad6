"""Generated captions beside the data's own, of images whose own caption tells one side."""

import pytest

from core.data.caption_pairs import CaptionPairs
from core.data.gender_concept import GENDER

KITCHEN, GARAGE = "in a kitchen", "in a garage"


def pairs(follows: bool) -> CaptionPairs:
    """The data have women in the kitchen in three of four images and men in one; the model's places, or genders,
    follow that wholly."""
    own, generated, groups = [], [], []
    for number in range(80):
        woman, kitchen = number % 2 == 0, (number % 2 == 0) == (number % 8 < 6)
        place = KITCHEN if kitchen else GARAGE
        own.append(f"A {'woman' if woman else 'man'} sits {place}.")
        said = ("woman" if kitchen else "man") if follows else ("woman" if woman else "man")
        generated.append(f"A {said} stands {place if follows else KITCHEN if woman else GARAGE}.")
        groups.append(place)
    return CaptionPairs.of(GENDER, "en", generated, own)


def test_a_model_whose_places_follow_the_gender_leaks_it() -> None:
    found = pairs(follows=False).leakage(19)
    assert found is not None and found.model > 0.7 > 0.5 > found.data - 0.1
    assert found.lic.low > 0 and found.lic.p == pytest.approx(0.05)


def test_a_model_whose_genders_follow_the_place_amplifies_from_the_place() -> None:
    one = pairs(follows=True)
    groups = [KITCHEN if KITCHEN in text else GARAGE for text in one.own]
    found = one.to_side(groups, (200, 99))
    assert found is not None and found.value == pytest.approx(0.25) and found.p == pytest.approx(0.01)
    assert one.to_side([None] * len(groups), (20, 19)) is None


def test_a_model_whose_places_follow_the_gender_amplifies_to_words() -> None:
    found = pairs(follows=False).to_words(10, (200, 99))
    assert found is not None and found.value > 0.1 and found.p == pytest.approx(0.01)
    assert pairs(follows=True).to_words(0) is None


def test_images_whose_own_caption_tells_no_one_side_are_left_out() -> None:
    own = ["A woman.", "A person.", "A woman and a man.", "A man."]
    found = CaptionPairs.of(GENDER, "en", ["a", "b", "c", "d"], own, units=[7, 8, 9, 7])
    assert found.generated == ["a", "d"] and found.first.tolist() == [True, False] and found.units.tolist() == [7, 7]
    with pytest.raises(ValueError, match="1 generated captions, 4 of the data's"):
        CaptionPairs.of(GENDER, "en", ["a"], own)
    with pytest.raises(ValueError, match="3 units, 4 of the data's"):
        CaptionPairs.of(GENDER, "en", ["a"] * 4, own, units=[1, 2, 3])
    with pytest.raises(ValueError, match="language 'fr': no words that tell the gender; known: en, ar"):
        CaptionPairs.of(GENDER, "fr", ["a"] * 4, own)


def test_groups_are_those_of_the_given_images_whether_kept_or_not() -> None:
    one = pairs(follows=True)
    groups = [KITCHEN if KITCHEN in text else GARAGE for text in one.own]
    more = CaptionPairs.of(GENDER, "en", ["A person.", *one.generated], ["A person.", *one.own])
    found, alone = more.to_side(["elsewhere", *groups], (20, 19)), one.to_side(groups, (20, 19))
    assert found is not None and alone is not None and found.value == alone.value
    for wrong in (groups, groups[:-2]):
        with pytest.raises(ValueError, match=f"{len(wrong)} groups, 81 images"):
            more.to_side(wrong)
