"""A concept of a user's own: two classes, their words in each language, and what is left out without them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from core.causal.pairs import find_swaps, opposite_twin
from core.data.concept import Concept
from core.data.concept_checks import check_concept
from core.data.listed_words import WordLists
from core.data.studied_concept import studied_concept
from core.errors import BadInput
from core.planning.left_out import left_out
from core.planning.loading import parse_study
from core.planning.located import Shape, Sources
from core.study.concept import StudiedConcept

WORDS = {"kitchen": {"en": ["kitchen"], "ar": ["مطبخ"]}, "garden": {"en": ["garden"], "ar": ["حديقة"]}}
SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "caption_en": ["a kitchen", "a garden behind a kitchen", "a street", None],
        "caption_ar": ["في المطبخ", "حديقة", "في الشارع", "a kitchen"],
        "place": ["kitchen", "garden", "street", "kitchen"],
        "size": ["small", "large", "small", "small"],
    }
)


def asked(**fields: Any) -> StudiedConcept:
    return StudiedConcept.model_validate({"name": "room", **fields})


def concept(samples: pl.DataFrame = SAMPLES, **fields: Any) -> Concept:
    return studied_concept(asked(**fields), samples)


def test_a_class_has_its_own_words_whichever_is_the_positive_one() -> None:
    turned = asked(positive="garden", negative="kitchen", words=WORDS)
    assert turned.listed("en") == (("garden",), ("kitchen",)) and turned.pairs("ar") == (("حديقة", "مطبخ"),)
    (word,) = studied_concept(turned, SAMPLES).words("in a kitchen", "en")
    assert word.side == "kitchen"


def test_lists_of_different_lengths_tell_the_class_and_pair_nothing() -> None:
    longer = {**WORDS, "garden": {"en": ["garden", "yard"], "ar": ["حديقة"]}}
    found = concept(words=longer)
    assert found.pairs("en") == () and found.pairs("ar") == (("مطبخ", "حديقة"),)
    assert [word.side for word in found.words("a yard by a kitchen", "en")] == ["garden", "kitchen"]


def test_the_order_of_a_columns_values_is_theirs_and_not_that_of_their_numbers() -> None:
    assert concept(column="size").sides == ("large", "small")


def test_a_third_class_is_on_no_side_and_a_caption_that_names_the_other_is_on_both() -> None:
    labelled = concept(column="place", positive="kitchen", negative="garden", words=WORDS).labelled(SAMPLES)
    assert labelled["room_en"].to_list() == ["kitchen", "both", "none", None]
    assert labelled["room_ar"].to_list() == ["kitchen", "garden", "none", "kitchen"]


def test_words_and_labels_are_those_of_the_captions_language() -> None:
    """An English word in an Arabic caption is none of the Arabic list, and a language without a list has no words."""
    found = concept(words=WORDS)
    assert found.labelled(SAMPLES)["room_ar"].to_list() == ["kitchen", "garden", "none", "none"]
    assert not found.words("a kitchen", "ar") and [word.side for word in found.words("حديقة", "ar")] == ["garden"]
    assert found.pairs("ar") == (("مطبخ", "حديقة"),)
    english = concept(words={side: {"en": own["en"]} for side, own in WORDS.items()})
    assert not english.words("a kitchen", "ar") and not english.pairs("ar")


ROOMS = WordLists(
    "en", ("in", "out"), (["living", "living room", "room"], ["yard"]), [("living room", "yard"), ("room", "yard")]
)
ARABIC = WordLists(
    "ar",
    ("in", "out"),
    (["مطبخ", "غرفة نوم"], ["حديقة", "الفناء"]),
    [("مطبخ", "الفناء"), ("غرفة نوم", "حديقة")],
)


def found(lists: WordLists, text: str) -> list[tuple[str, str | None]]:
    return [(text[word.start : word.end], lists.counterpart(text, word)) for word in lists.find(text)]


def test_the_longer_phrase_is_found_once_and_in_one_stretch() -> None:
    assert found(ROOMS, "a living room") == [("living room", "yard")]
    assert found(ROOMS, "they are living. Room for two") == [("living", None), ("Room", "Yard")]


def test_an_inflected_word_has_no_counterpart_and_no_word_two_articles() -> None:
    assert found(ARABIC, "حديقتها") == [("حديقتها", None)]
    assert found(ARABIC, "المطبخ") == [("المطبخ", None)] and found(ARABIC, "مطبخ") == [("مطبخ", "الفناء")]


def test_a_preposition_stands_before_a_phrase_and_no_verb_is_a_noun() -> None:
    assert found(ARABIC, "بغرفة نوم") == [("بغرفة نوم", "بحديقة")]
    assert found(ARABIC, "غرفة بنوم") == [] == found(ARABIC, "سمطبخ")


def test_a_word_in_both_lists_is_refused_however_it_is_written() -> None:
    assert WordLists("en", ("a", "b"), (["Park"], ["park"])).in_both() == ["Park"]
    assert WordLists("ar", ("a", "b"), (["مَطبخ"], ["مطبخ"])).in_both() == ["مَطبخ"]


def captions(*told: str | None, place: str | None = None) -> pl.DataFrame:
    images = [str(image) for image in range(len(told))]
    columns = {"image_id": images, "caption_en": told, "place": [place] * len(told)}
    return pl.DataFrame(columns, schema_overrides={"place": pl.String})


def check(samples: pl.DataFrame, **fields: Any) -> tuple[str, ...]:
    return check_concept(asked(**fields), samples, ("en",))


LISTS = {"in": {"en": ["kitchen", "hall"]}, "out": {"en": ["garden"]}}


def test_words_that_no_caption_has_are_named_with_their_class() -> None:
    said = check(captions(*["a kitchen"] * 30, *["a garden"] * 30), words=LISTS)
    assert [line.split(":")[0] for line in said] == ["concepts.room.words.in.en"]
    assert "1 of 2 words occur in none of 60 captions (hall)" in said[0]


def test_a_class_that_no_caption_is_on_is_refused_with_the_number_of_captions() -> None:
    with pytest.raises(BadInput, match="in 30, out 0 of 30; list words that captions have"):
        check(captions(*["a kitchen and a hall"] * 30, None, None), words=LISTS)


def test_captions_on_both_sides_are_told_of_with_their_number() -> None:
    table = captions(*["a kitchen"] * 30, *["a garden"] * 30, *["a hall, a garden"] * 9)
    assert check(table, words=LISTS) == (
        "concepts.room: English captions: in 30, out 30; 9 more are on both sides by their words, and in no test",
    )
    assert check(table.head(64), words=LISTS) == ()


def test_a_class_that_is_no_value_of_the_column_is_refused() -> None:
    table = pl.concat([captions(*["a"] * 30, place="kitchen"), captions(*["b"] * 30, place="garden")])
    with pytest.raises(BadInput, match="negative: 'gardens' is no value of column 'place', which has 2 values"):
        check(table, column="place", positive="kitchen", negative="gardens")


def twins(own: tuple[str, str], other: tuple[str, str]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Two samples with their captions and labels."""
    rows = [
        {"sample_id": name, "caption_en": caption, "room_en": label}
        for name, (caption, label) in (("a", own), ("b", other))
    ]
    inputs = SimpleNamespace(concept=concept(words=WORDS), languages=("en",), truth=None)
    return inputs, rows[0], rows[1]


def test_a_twin_of_another_concept_gives_neither_words_nor_a_picture() -> None:
    """Its caption differs in who stands in the kitchen."""
    inputs, own, twin = twins(("A woman in a kitchen.", "kitchen"), ("A man in a kitchen.", "kitchen"))
    assert opposite_twin(inputs, own, twin) is None
    assert [swap.other for swap in find_swaps(inputs, own, twin, "en")] == ["garden"]


def test_a_twin_that_differs_before_the_word_shows_no_such_word() -> None:
    inputs, own, twin = twins(("A woman in a kitchen.", "kitchen"), ("A man in a garden.", "garden"))
    assert opposite_twin(inputs, own, twin) is twin
    assert [(swap.start, swap.other) for swap in find_swaps(inputs, own, twin, "en")] == [(13, "garden")]


def test_pairs_of_a_language_that_the_study_has_not_leave_analyses_out() -> None:
    table = {
        "source": "table",
        "path": "t.csv",
        "columns": {"image": "image", "caption_en": "text", "caption_ar": None},
    }
    study = parse_study({"name": "own", "data": table, "model": {"path": "m"}}, "own")
    arabic = {"kitchen": {"en": ["kitchen", "hall"], "ar": ["مطبخ"]}, "garden": WORDS["garden"]}
    shape = Shape(images=120, num_layers=4, d_model=64, has_images=True, vision_layers=2, vision_width=48)
    reasons = left_out(study, Sources("data", "model"), shape, (0, 1), asked(words=arabic))
    assert "differ in length" in reasons["ablation"]
    assert Path(study.data.path).name == "t.csv"  # type: ignore[union-attr]
