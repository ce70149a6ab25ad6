"""The surface form of Arabic words, and what they speak of."""

import pytest

from core.data.arabic_surface import SurfaceWord, surface_words


def words(text: str) -> dict[str, SurfaceWord]:
    return {text[word.start : word.end]: word for word in surface_words(text)}


def test_form_sort_and_ending_of_each_word() -> None:
    found = words("في الغابة، امرأة متعبة بزي طبيبة تقرأ كتابها الأحمر.")
    told = {word: (one.sort, one.form, one.ending) for word, one in found.items()}
    assert told == {
        "الغابة": ("other", "female", "ة"),
        "امرأة": ("person", "female", "ة"),
        "متعبة": ("person", "female", "ة"),
        "بزي": ("other", "male", ""),
        "طبيبة": ("person", "female", "ة"),
        "تقرأ": ("person", "female", ""),
        "كتابها": ("owned", "male", ""),
        "الأحمر": ("other", "male", ""),
    }
    assert found["تقرأ"].is_verb and not found["طبيبة"].is_verb


@pytest.mark.parametrize(
    ("word", "pronoun", "form", "owner"),
    [
        ("كتابها", "ها", "male", "female"),
        ("كتابه", "ها", "male", "male"),
        ("سيارتها", "تها", "female", "female"),
        ("سيارته", "تها", "female", "male"),
        ("بالونها", "نها", "male", "female"),
        ("بالونه", "نها", "male", "male"),
    ],
)
def test_an_owned_thing_has_its_own_form_and_its_owners(word: str, pronoun: str, form: str, owner: str) -> None:
    opening = "امرأة تحمل" if owner == "female" else "رجل يحمل"
    one = words(f"{opening} {word}")[word]
    assert (one.sort, one.pronoun, one.form, one.owner) == ("owned", pronoun, form, owner)


def test_both_genders_of_a_word_and_all_its_pronouns_have_one_stem() -> None:
    assert words("طبيبة تقرأ")["طبيبة"].stem == words("طبيب يقرأ")["طبيب"].stem == "طبيب"
    assert words("طبيبة تقرأ")["تقرأ"].stem == words("طبيب يقرأ")["يقرأ"].stem
    assert words("امرأة تقود سيارتها")["سيارتها"].stem == words("رجل يقود سيارته")["سيارته"].stem
    assert words("رجل في المدينة")["المدينة"].stem == words("رجل في مدينة")["مدينة"].stem


def test_plurals_of_things_are_feminine_whoever_is_spoken_of() -> None:
    found = words("رجل يقف بين السيارات الكبيرة")
    assert (found["السيارات"].form, found["السيارات"].ending) == ("female", "ات")
    assert found["الكبيرة"].form == "female" and found["رجل"].form == "male"


def test_endings_of_either_gender_and_what_has_no_form_are_left_out() -> None:
    assert not words("شقراء تمشي في الصحراء").keys() & {"شقراء", "الصحراء"}
    assert not words("هذه هي التي في المستشفى").keys()
    assert "صديقتها" not in words("رجل مع صديقتها")


def test_spans_are_of_the_text_as_it_is_written() -> None:
    text = "اِمرأةٌ تَقرأُ كِتابَها"
    assert [text[word.start : word.end] for word in surface_words(text)][-1].startswith("كِتاب")
