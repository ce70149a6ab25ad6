"""Pairs: the word's own side orients them, all words that tell a side are set apart, one image a unit."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from core.causal.counterparts import side_of, swaps_by_lexicon, swaps_by_truth, swaps_by_twin, telling_spans
from core.causal.pairs import choose_samples, find_pairs
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.lm.prompts import EncodedSample

Words = list[tuple[str, str]]


def words(caption: str, language: str = "en") -> Words:
    return [(caption[swap.start : swap.end], swap.other) for swap in swaps_by_lexicon(GENDER, caption, language)]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A king size bed beside a woman.", [("woman", "man")]),
        ("A dog looks at him.", [("him", "her")]),
        ("A dog looks at her.", [("her", "him")]),
        ("Her dog sleeps.", [("Her", "His")]),
        ("His dog sleeps.", [("His", "Her")]),
        ("The book is his.", [("his", "hers")]),
        ("The book is hers.", [("hers", "his")]),
        ("A book lies on her lap, beside her.", [("her", "his"), ("her", "him")]),
        ("A man on his back.", [("man", "woman"), ("his", "her")]),
        ("The woman's hat.", [("woman", "man")]),
        # Object and owner look alike here, so there is no sure counterpart.
        ("A photo of her holding a cat.", []),
        ("A dog on her back.", []),
        # The first word that tells has no counterpart: what follows is not the first that tells.
        ("A step-mother and her dog.", []),
        ("Sarah reads her book.", []),
    ],
)
def test_english_words_have_the_counterpart_of_what_they_are(caption: str, expected: Words) -> None:
    assert words(caption) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("امرأة في الحديقة", [("امرأة", "رجل")]),
        ("تقف طبيبة هنا", [("تقف", "يقف"), ("طبيبة", "طبيب")]),
        ("يقف رجل هنا", [("يقف", "تقف"), ("رجل", "امرأة")]),
        ("المعلمة هنا", [("المعلمة", "المعلم")]),
        # A past verb and a noun with its owner's suffix have none.
        ("وقفت امرأة هنا", []),
        ("أمه هنا", []),
    ],
)
def test_arabic_words_have_their_regular_counterpart_or_none(caption: str, expected: Words) -> None:
    assert words(caption, "ar") == expected


def inputs(samples: pl.DataFrame, languages: tuple[str, ...] = ("en",), **more: Any) -> AnalysisInputs:
    closed: Any = None
    return AnalysisInputs(
        samples,
        None,
        None,
        layers=(),
        languages=languages,
        open_layer=closed,
        open_model=closed,
        instructions={},
        concept=THE_CONCEPT,
        **more,
    )


def sample(number: str, caption: str, gender: str, image: str | None = None, **more: Any) -> dict[str, Any]:
    own = {"sample_id": number, "image_id": image or number, "image": None, "split": "test", "twin_id": None}
    return {**own, "caption_en": caption, "gender_en": gender, "caption_ar": None, "gender_ar": "none", **more}


@pytest.fixture
def spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every character is a token."""

    def encode(_: Any, request: Any) -> EncodedSample:
        text = request.caption
        return EncodedSample(
            request.sample_id,
            request.image_id,
            request.language,
            [1, *map(ord, text)],
            1,
            ["prompt", *["caption"] * len(text)],
            [True, *[False] * len(text)],
            [None, *((n, n + 1) for n in range(len(text)))],
            text,
            text,
            None,
        )

    monkeypatch.setattr("core.causal.pairs.encode_sample", encode)


@pytest.mark.usefixtures("spelled")
def test_the_words_own_side_orients_a_pair_whatever_the_captions_label() -> None:
    samples = pl.DataFrame(
        [
            sample("a", "A king beside a woman.", "female"),
            sample("b", "A woman beside a king.", "male"),
            sample("c", "A boy sleeps.", "male"),
        ]
    )
    found, reasons = find_pairs(inputs(samples), SimpleNamespace(), samples, "en")  # type: ignore[arg-type]
    assert not reasons
    spoken = {pair.sample_id: (pair.side, pair.sign, text(pair.positive), text(pair.negative)) for pair in found}
    assert spoken == {
        "a": ("male", 1, "A queen", "A king"),
        "b": ("female", -1, "A woman", "A man"),
        "c": ("male", 1, "A girl", "A boy"),
    }


def text(word: Any) -> str:
    return "".join(map(chr, word.sample.ids[1:]))


@pytest.mark.usefixtures("spelled")
def test_every_caption_of_an_image_makes_a_pair_and_a_neutral_one_is_counted() -> None:
    samples = pl.DataFrame(
        [
            sample("a", "A woman reads.", "female", "i"),
            sample("b", "A girl sits.", "female", "i"),
            sample("c", "A room.", "none", "i"),
        ]
    )
    chosen = choose_samples(inputs(samples), 4)
    assert chosen.rows.height == 1 and chosen.captions.height == 3
    found, reasons = find_pairs(inputs(samples), SimpleNamespace(), chosen.captions, "en")  # type: ignore[arg-type]
    assert [pair.sample_id for pair in found] == ["a", "b"]
    assert {pair.image_id for pair in found} == {"i"}
    assert reasons == {"en: no caption of one gender": 1}


@pytest.mark.usefixtures("spelled")
def test_the_second_word_is_measured_as_the_later_one() -> None:
    samples = pl.DataFrame([sample("a", "A woman reads her book.", "female")])
    found, _ = find_pairs(inputs(samples), SimpleNamespace(), samples, "en", "later")  # type: ignore[arg-type]
    assert [(text(pair.positive), text(pair.negative)) for pair in found] == [
        ("A woman reads her", "A woman reads his")
    ]


@pytest.mark.usefixtures("spelled")
def test_a_pair_that_shares_no_prefix_or_word_is_none() -> None:
    samples = pl.DataFrame([sample("a", "A room.", "female"), sample("b", "A girl.", "both")])
    found, reasons = find_pairs(inputs(samples), SimpleNamespace(), samples, "en")  # type: ignore[arg-type]
    assert not found
    assert reasons == {"en: no first gendered word with a counterpart": 1, "en: no caption of one gender": 1}


def told(caption: str, twin: str | None = None, language: str = "en") -> list[str]:
    swaps = swaps_by_twin(caption, twin) if twin else swaps_by_lexicon(GENDER, caption, language)
    spans = telling_spans(GENDER, caption, language, swaps, twin)
    return [caption[slice(*span)] for span in spans]


def test_all_other_words_hold_no_gendered_word_without_a_twin() -> None:
    """Words of the lexicon are left out whether they have a counterpart or not."""
    assert told("A woman and Sarah hug her step-mother.") == ["woman", "Sarah", "her", "step", "mother"]
    assert told("امرأة تقرأ كتابها", language="ar") == ["امرأة", "تقرأ", "كتابها"]


def test_all_other_words_hold_no_word_that_the_twin_has_not_where_lengths_differ() -> None:
    caption, twin = "A tall woman in a dress reads with her dog", "A man in a suit reads with his dog"
    assert told(caption, twin) == ["tall", "woman", "dress", "her"]


def test_planted_words_are_swaps_and_set_apart() -> None:
    caption = "the trees blorp, zim"
    planted = [{"start": 10, "end": 15, "counterpart": "blarp"}, {"start": 17, "end": 20, "counterpart": "zom"}]
    truth = {"samples": {"s": {"gendered_words": {"en": planted}}}}
    swaps = swaps_by_truth(GENDER, truth, "s", "en")
    assert [swap.other for swap in swaps] == ["blarp", "zom"]
    assert swaps_by_truth(GENDER, truth, "s", "ar") == swaps_by_truth(GENDER, truth, "t", "en") == []
    assert [caption[slice(*span)] for span in telling_spans(GENDER, caption, "en", swaps)] == ["blorp", "zim"]


def test_a_word_of_two_sides_or_none_tells_no_side() -> None:
    assert side_of(GENDER, "a woman", (2, 7), "en") == "female"
    assert side_of(GENDER, "a woman", (0, 1), "en") is None
    caption = "أم مع زوجها"
    assert side_of(GENDER, caption, (6, 11), "ar") is None


def twins(images: int, split: str = "test") -> list[dict[str, Any]]:
    rows = []
    for number in range(images):
        for own, other, word in (("f", "m", "woman"), ("m", "f", "man")):
            name = f"{split}{number:02d}"
            gender = "female" if own == "f" else "male"
            twin = {"twin_id": f"{name}{other}", "split": split}
            rows.append(sample(f"{name}{own}", f"A {word}.", gender, f"i{name}{own}", **twin))
    return rows


def test_one_image_of_a_unit_is_taken_and_sides_are_balanced() -> None:
    """The twin named by an image's second caption counts as well."""
    rows = twins(10)
    second = sample("again", "A man smiles.", "male", "itest00m")
    hidden = [{**row, "twin_id": None} if row["sample_id"] == "test00m" else row for row in rows]
    samples = pl.DataFrame([second, *hidden, *twins(6, "select")])
    chosen = choose_samples(inputs(samples), 8)
    assert set(chosen.rows["split"]) == {"test"}
    assert chosen.rows["gender_en"].value_counts()["count"].to_list() == [4, 4]
    assert choose_samples(inputs(samples), 99).rows.height == 10
    assert set(choose_samples(inputs(samples), 99, "select").rows["split"]) == {"select"}


def test_the_draw_of_images_follows_the_seed() -> None:
    samples = pl.DataFrame([sample(f"{n:02d}", "A man.", "male") for n in range(40)])
    drawn = [choose_samples(inputs(samples, seed=seed), 8).rows["image_id"].to_list() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_people_who_show_no_gender_are_left_out_and_counted() -> None:
    rows = [sample(str(n), "A man.", "male", visible_gender="neutral" if n < 3 else "man") for n in range(5)]
    chosen = choose_samples(inputs(pl.DataFrame([*rows, sample("x", "A room.", "none", visible_gender="man")])), 9)
    assert chosen.rows.height == 2
    assert chosen.left_out == {"person shows no gender": 3, "caption names no single gender": 1}
