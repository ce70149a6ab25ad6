import pytest

from core.data import arabic_forms as forms


@pytest.mark.parametrize(
    ("row", "past_female", "present"),
    [
        ("كتب", "كتبت", "كتب"),
        ("أمسك", "أمسكت", "مسك"),
        ("ابتسم", "ابتسمت", "بتسم"),
        ("ارتدى", "ارتدت", "رتدى"),
        ("قال قول", "قالت", "قول"),
        ("وقف قف", "وقفت", "قف"),
        ("تحدث تحدث", "تحدثت", "تحدث"),
        ("أكل أكل", "أكلت", "أكل"),
    ],
)
def test_a_verb_is_spelt_out_from_its_past(row: str, past_female: str, present: str) -> None:
    found = forms.verb(*row.split())
    assert found.past_female[0] == past_female
    assert found.present[0] == present


def test_weak_verbs_lose_their_last_or_middle_letter_before_plural_endings() -> None:
    assert forms.verb("مشى").present_masculine == ("مش",)
    assert forms.verb("قاد", "قود").present_feminine == ("قد",)
    assert set(forms.verb("قرأ").present) == {"قرأ", "قرؤ", "قرئ"}


def test_nouns_have_their_duals_and_plurals() -> None:
    assert {"معلما", "معلمان", "معلمون", "معلمين", "معلمو"} <= set(forms.masculine("معلم"))
    assert {"عداؤون", "عدائين"} <= set(forms.masculine("عداء"))
    assert set(forms.feminine("معلمة")) == {"معلمة", "معلمتان", "معلمتين", "معلمات"}
    assert "شقراوات" in forms.feminine("شقراء")
    assert forms.in_construct("معلمة", is_feminine=True) == ("معلمتا", "معلمتي")


def test_a_broken_plural_takes_the_alef_of_the_accusative_where_spelling_has_one() -> None:
    assert forms.broken_plural("رجال") == ("رجال", "رجالا")
    assert forms.broken_plural("أطباء") == ("أطباء",)
    assert forms.broken_plural("طلبة") == ("طلبة",)
