"""What `saeflow plan` says of a concept before anything is run: one line, with the field, the counts and the fix."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.data.concept_checks import check_concept, unprepared_samples
from core.data.scenes import generate_scenes
from core.errors import BadInput
from core.study.concept import StudiedConcept
from core.study.data import SceneSource
from core.study.language import Language

WORDS = {"garden": {"en": ["garden"]}, "forest": {"en": ["forest"]}}


@pytest.fixture(scope="module")
def samples() -> pl.DataFrame:
    return unprepared_samples(SceneSource(source="scenes", num_samples=400, seed=11), Path())


def check(samples: pl.DataFrame, languages: tuple[Language, ...] = ("en", "ar"), **fields: Any) -> tuple[str, ...]:
    return check_concept(StudiedConcept.model_validate({"name": "where", **fields}), samples, languages)


def test_samples_are_known_before_any_picture_is_painted(samples: pl.DataFrame, tmp_path: Path) -> None:
    assert generate_scenes(tmp_path, num_samples=16, seed=3).equals(
        unprepared_samples(SceneSource(source="scenes", num_samples=16, seed=3), Path())
    )


def test_a_sound_concept_has_nothing_said_of_it(samples: pl.DataFrame) -> None:
    assert check(samples, column="place", positive="garden", negative="forest", words=WORDS) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"column": "plaec"}, r"concepts\.where\.column: 'plaec' is no column of the samples; did you mean 'place'\?"),
        ({"column": "place"}, r"'place' has 8 values \(beach 58, .*; choose two of them: positive: …, negative: …"),
        ({"column": "person_box"}, "'person_box' holds lists; name a column with one value per sample"),
        (
            {"column": "place", "positive": "gadren", "negative": "forest"},
            r"concepts\.where\.positive: 'gadren' is no value of column 'place', which has 8 values",
        ),
        ({}, r"concepts\.where: no column and no words \(gender alone is built in\)"),
        ({"name": "gender", "column": "place"}, "gender is built in, and takes no column and no words; rename yours"),
        ({"name": "caption", "words": WORDS}, "the samples have a column 'caption_en' already; rename the concept"),
        (
            {"words": {"a": {"en": ["garden"]}, "b": {"en": ["Garden"]}}},
            r"concepts\.where\.words: 'garden' \(en\) stands in both lists",
        ),
        ({"words": {"a": {"en": ["garden"]}, "b": {"en": ["!"]}}}, r"'!' \(en\) holds no word; remove it"),
        (
            {"words": {"a": {"en": ["pots, pans"]}, "b": {"en": ["garden"]}}},
            r"'pots, pans' \(en\) has marks between its words, and 'pots pans' is left of it; write its words",
        ),
        (
            {"words": {"a": {"en": ["zebra"]}, "b": {"en": ["garden"]}}},
            r"concepts\.where: English captions: a 0, b 43 of 400; list words that captions have",
        ),
    ],
)
def test_what_cannot_be_asked_about_is_refused_in_one_line(
    samples: pl.DataFrame, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        check(samples, **fields)
    assert "\n" not in str(refused.value)


def test_words_of_a_language_that_the_study_has_not_are_refused(samples: pl.DataFrame) -> None:
    words = {"a": {"en": ["garden"], "ar": ["حديقة"]}, "b": {"en": ["forest"]}}
    with pytest.raises(BadInput, match=r"lists Arabic words, and the study has no Arabic captions; .*caption_ar"):
        check(samples, ("en",), words=words)


def test_a_column_with_one_class_is_refused(samples: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"'place' has 1 value \(garden 43\), and a concept has two"):
        check(samples.filter(place="garden"), column="place", positive="garden", negative="forest")


def test_words_that_no_caption_has_are_named(samples: pl.DataFrame) -> None:
    words = {"a": {"en": ["garden", "yard"]}, "b": {"en": ["forest"]}}
    said, _same = check(samples, words=words)
    assert said.startswith("concepts.where.words.a.en: 1 of 2 words occur in none of 400 captions (yard)")


def test_few_and_uneven_samples_are_told_with_their_counts(samples: pl.DataFrame) -> None:
    few = pl.concat([samples.filter(place="garden").head(3), samples.filter(place="forest")])
    said = check(few, column="place", positive="garden", negative="forest")
    assert said[0].startswith("concepts.where: English captions: garden 3, forest 48; each split needs 5 images")
    many = pl.concat([samples.filter(place="garden").head(20), *[samples.filter(place="forest")] * 5])
    said = check(many, column="place", positive="garden", negative="forest")
    assert said[0].endswith(
        "garden 20, forest 240; the smaller class is 8% of them, and intervals are as wide as it is small"
    )


def test_columns_that_say_what_the_concept_says_are_named(samples: pl.DataFrame) -> None:
    words = {"a": {"en": ["garden"]}, "b": {"en": ["forest"]}}
    coded = samples.with_columns(code=pl.col("place").replace({"garden": "g"}))
    assert not check(samples, column="place", positive="garden", negative="forest")
    (said,) = check(coded, column="place", positive="garden", negative="forest")
    assert said.startswith("concepts.where: column 'code' sorts all 91 images of a class of which it is known")
    assert [line.split()[2] for line in check(coded, words=words)] == ["'code'", "'place'"]
