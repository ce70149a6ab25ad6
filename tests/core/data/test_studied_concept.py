"""A concept that a study describes has labels, words and pairs from a column, from lists, or from both."""

from typing import Any

import polars as pl
import pytest

from core.data.studied_concept import studied_concept
from core.errors import BadInput
from core.study.concept import StudiedConcept

WORDS = {"kitchen": {"en": ["kitchen"], "ar": ["مطبخ"]}, "garden": {"en": ["garden"], "ar": ["حديقة"]}}
SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "image_id": ["a", "b", "c", "d"],
        "split": ["train"] * 4,
        "caption_en": ["a kitchen", "a garden behind a kitchen", "a street", None],
        "caption_ar": ["في المطبخ", "في الحديقة", "في الشارع", "مطبخ"],
        "place": ["kitchen", "garden", "street", "kitchen"],
        "open": [False, True, True, False],
    }
)


def labels(samples: pl.DataFrame = SAMPLES, **fields: Any) -> dict[str, list[str | None]]:
    concept = studied_concept(StudiedConcept(name="room", **fields), samples)
    labelled = concept.labelled(samples)
    return {language: labelled[f"room_{language}"].to_list() for language in ("en", "ar")}


def test_labels_of_a_column_are_its_values_for_every_caption() -> None:
    found = labels(column="place", positive="kitchen", negative="garden")
    assert found == {"en": ["kitchen", "garden", "none", None], "ar": ["kitchen", "garden", "none", "kitchen"]}


def test_labels_of_words_are_what_each_caption_says() -> None:
    found = labels(words=WORDS)
    assert found == {"en": ["kitchen", "both", "none", None], "ar": ["kitchen", "garden", "none", "kitchen"]}


def test_where_a_caption_names_the_other_class_than_its_column_it_is_on_both_sides() -> None:
    assert labels(column="place", words=WORDS)["en"] == ["kitchen", "both", "none", None]


@pytest.mark.parametrize(
    ("values", "sides"),
    [
        ([True, False], ("true", "false")),
        ([0, 1], ("1", "0")),
        (["No", "Yes"], ("Yes", "No")),
        (["b", "a"], ("a", "b")),
        ([0.0, 1.0], ("1", "0")),
        ([0.5, 2.0], ("0.5", "2")),
        ([1e300, 2.0], ("1e+300", "2")),
        # what is missing is no class
        ([1.0, 0.0, float("nan"), None], ("1", "0")),
        (["x", "y", "", " ", None], ("x", "y")),
    ],
)
def test_two_values_of_a_column_need_no_choice_and_what_affirms_is_positive(
    values: list[Any], sides: tuple[str, str]
) -> None:
    samples = pl.DataFrame({"kind": pl.Series(values, strict=False), "caption_en": ["a caption"] * len(values)})
    concept = studied_concept(StudiedConcept(name="sort", column="kind"), samples)
    assert concept.sides == sides
    assert set(concept.labelled(samples)["sort_en"].head(2)) == set(sides)
    assert set(concept.labelled(samples)["sort_en"].slice(2)) <= {"none"}


def test_a_class_may_be_chosen_as_yaml_writes_it() -> None:
    for positive, negative in ((1, 0), (1.0, 0.0), ("1", "0")):
        chosen = StudiedConcept.model_validate(
            {"name": "sort", "column": "kind", "positive": positive, "negative": negative}
        )
        samples = pl.DataFrame({"kind": [1.0, 0.0, None], "caption_en": ["a", "b", "c"]})
        assert studied_concept(chosen, samples).labelled(samples)["sort_en"].to_list() == ["1", "0", "none"]
    chosen = StudiedConcept.model_validate({"name": "outside", "column": "open", "positive": False, "negative": True})
    assert studied_concept(chosen, SAMPLES).sides == ("false", "true")


@pytest.mark.parametrize("taken", ["both", "none"])
def test_no_class_is_called_as_the_label_of_both_sides_or_of_neither(taken: str) -> None:
    samples = pl.DataFrame({"kind": [taken, "hat"], "caption_en": ["a", "b"]})
    with pytest.raises(BadInput, match=f"concepts.sort.column: 'kind': '{taken}' is the label of captions"):
        studied_concept(StudiedConcept(name="sort", column="kind"), samples)


def test_the_first_class_of_the_words_is_the_positive_one_however_the_record_is_sorted() -> None:
    asked = StudiedConcept(name="room", words=WORDS)
    assert asked.classes == ("kitchen", "garden")
    turned = {**asked.model_dump(mode="json"), "words": dict(sorted(WORDS.items()))}
    assert StudiedConcept.model_validate(turned).classes == ("kitchen", "garden")


def test_position_sets_and_words_are_called_after_the_concept() -> None:
    concept = studied_concept(StudiedConcept(name="room", words=WORDS), SAMPLES)
    assert concept.position_sets == ("image", "last-prompt", "pre-room", "first-room", "later-room", "other")
    assert concept.pairs("en") == (("kitchen", "garden"),)
    (word,) = concept.words("in a Garden", "en")
    assert concept.counterpart("in a Garden", word, "en") == "Kitchen"


def test_without_words_nothing_is_found_in_a_caption() -> None:
    concept = studied_concept(StudiedConcept(name="outside", column="open"), SAMPLES)
    assert not concept.words("a kitchen", "en") and not concept.pairs("en")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("place", r"'place' has 3 values \(kitchen 2, garden 1, street 1\); choose two of them"),
        ("split", r"'split' has 1 value \(train 4\), and a concept has two"),
        ("nowhere", "'nowhere' is no column of the samples; there are caption_ar, caption_en, image_id"),
    ],
)
def test_a_column_without_two_classes_is_refused_with_its_counts(column: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        studied_concept(StudiedConcept(name="room", column=column), SAMPLES)
