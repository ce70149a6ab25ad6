"""Which pictures show the concept: a column says so, or the captions' agreement does."""

import polars as pl

from core.data.gender_concept import GENDER
from core.data.visible import AGREEMENT, visible_images


def samples(**columns: list[str | None]) -> pl.DataFrame:
    size = len(columns["gender_en"])
    return pl.DataFrame({"image_id": [f"i{n}" for n in range(size)], "split": ["test"] * size, **columns})


def test_the_column_says_which_pictures_show_it() -> None:
    table = samples(gender_en=["female"] * 4, gender_ar=["male"] * 4, visible_gender=["woman", "neutral", None, "man"])
    found = visible_images(GENDER, table, ("en", "ar"))
    assert found.shown == ["i0", "i3"] and found.hidden == ["i1"]
    assert found.by == "the column visible_gender" and found.unclear == {"no one value of visible_gender": 1}


def test_values_are_read_in_either_case_and_those_that_tell_nothing_are_counted() -> None:
    values = ["Neutral", "unknown", "", "Woman", "male", "two people", "unknown", "رجل"]
    table = samples(gender_en=["female"] * 8, gender_ar=["male"] * 8, visible_gender=values)
    found = visible_images(GENDER, table, ("en", "ar"))
    assert found.hidden == ["i0"] and found.shown == ["i3", "i4", "i7"]
    told = {"visible_gender is ''": 1, "visible_gender is 'two people'": 1, "visible_gender is 'unknown'": 2}
    assert found.unclear == told


def test_without_it_pictures_show_what_all_captions_agree_on() -> None:
    english = ["female", "female", "neutral", "neutral", "both", "none", "none"]
    arabic = ["female", "male", "male", None, "female", "none", "female"]
    found = visible_images(GENDER, samples(gender_en=english, gender_ar=arabic), ("en", "ar"))
    assert found.by == AGREEMENT
    assert found.shown == ["i0", "i6"] and found.hidden == ["i1", "i2", "i3"]
    assert found.unclear == {"captions name both genders": 1, "captions name nobody": 1}


def test_several_captions_of_a_picture_speak_of_one() -> None:
    table = samples(gender_en=["female", "male", "female", "female"], gender_ar=[None] * 4)
    table = table.with_columns(image_id=pl.Series(["a", "a", "b", "b"]))
    found = visible_images(GENDER, table, ("en", "ar"))
    assert found.hidden == ["a"] and found.shown == ["b"]
