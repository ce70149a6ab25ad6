from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from core.activations.positions import position_sets
from core.activations.rows import TOKENS
from core.data.gender import label_caption
from core.data.gender_concept import GENDER
from core.data.samples import prepare, read_samples
from core.progress import silent
from core.study.data import SceneSource

CAPTION = "In the park, a woman reads her book."
SAMPLES = pl.DataFrame(
    {
        "sample_id": ["s", "n"],
        "image_id": ["i", "j"],
        "caption_en": [CAPTION, "A tree."],
        "caption_ar": ["في الحديقة، امرأة تقرأ كتابها.", None],
    },
    schema_overrides={"caption_ar": pl.String},
)


def token(segment: str, position: int, language: str | None = "en", **values: Any) -> dict[str, Any]:
    fixed = {"group": language or "shared", "row": position, "sample_id": "s", "image_id": "i", "token_id": 1}
    rest = {"token": "x", "char_start": None, "char_end": None, "special": False}
    return {**fixed, "language": language, "segment": segment, "position": position, **rest, **values}


def word(position: int, text: str, caption: str = CAPTION, **values: Any) -> dict[str, Any]:
    start = caption.index(text)
    return token("caption", position, char_start=start, char_end=start + len(text), **values)


def sets(rows: list[dict[str, Any]]) -> list[str]:
    return position_sets(pl.DataFrame(rows, schema=TOKENS), SAMPLES, GENDER).to_list()


def test_a_caption_is_cut_at_the_first_word_that_tells_gender() -> None:
    rows = [
        token("image", 1, None),
        token("prompt", 2, None),
        token("prompt", 3),
        token("prompt", 4, special=True),
        word(5, "In the"),
        word(6, " a"),
        word(7, " wom"),
        word(8, "an"),
        word(9, " reads"),
        word(10, " her"),
        word(11, "."),
    ]
    assert sets(rows) == [
        "image", "other", "other", "last-prompt", "pre-gender", "pre-gender",
        "first-gendered", "first-gendered", "other", "later-gendered", "other",
    ]  # fmt: skip


def test_alignment_survives_any_order_of_rows() -> None:
    rows = [word(9, " reads"), word(7, " wom"), token("prompt", 4, special=True), word(5, "In the"), token("prompt", 3)]
    assert sets(rows) == ["other", "first-gendered", "last-prompt", "pre-gender", "other"]


def test_each_language_has_its_own_decision_point_and_words() -> None:
    arabic = SAMPLES["caption_ar"][0]
    rows = [
        token("prompt", 4, "en", special=True),
        token("prompt", 5, "ar"),
        token("prompt", 6, "ar", special=True),
        word(7, "في", arabic, language="ar"),
        word(8, "امرأ", arabic, language="ar"),
        word(9, "تقرأ", arabic, language="ar"),
        word(10, "كتاب", arabic, language="ar"),
        word(11, "ها", arabic, language="ar"),
    ]
    assert sets(rows) == [
        "last-prompt", "other", "last-prompt", "pre-gender", "first-gendered", "later-gendered", "other",
        "later-gendered",
    ]  # fmt: skip


def test_where_prompts_do_not_differ_the_shared_row_is_the_decision_point() -> None:
    rows = [token("prompt", 1, None, special=True), word(2, "In the"), word(2, "In the", language="ar")]
    assert sets(rows)[0] == "last-prompt"
    assert sets([token("prompt", 1, None, special=True), token("prompt", 2, special=True)]) == ["other", "last-prompt"]


def test_bos_alone_is_no_decision_point() -> None:
    assert sets([token("prompt", 0, special=True), word(1, "In the")])[0] == "other"


def test_a_caption_without_gender_has_no_pre_gender_positions() -> None:
    tree = {"sample_id": "n", "image_id": "j"}
    rows = [
        token("prompt", 1, special=True, **tree),
        word(2, "A", "A tree.", **tree),
        word(3, "tree", "A tree.", **tree),
    ]
    assert sets(rows) == ["last-prompt", "other", "other"]


def test_special_rows_other_than_the_decision_point_are_in_no_set() -> None:
    assert sets([token("image", 1, None, special=True), word(5, "woman", special=True)]) == ["other", "other"]


def test_no_rows_have_no_sets() -> None:
    assert sets([]) == []


def test_the_sets_of_scenes_agree_with_a_walk_through_each_caption(tmp_path: Path) -> None:
    prepare(SceneSource(source="scenes", num_samples=24, seed=2), Path(), tmp_path, silent)
    samples = read_samples(tmp_path)
    rows, wanted = [], []
    for sample_id, image_id, *captions in samples.select(
        "sample_id", "image_id", "caption_en", "caption_ar"
    ).iter_rows():
        for language, caption in zip(("en", "ar"), captions):
            words = label_caption(caption, language).tokens
            for start in range(0, len(caption), 3):  # tokens of three characters, whatever the words
                end = min(start + 3, len(caption))
                rows.append(
                    token("caption", start, language, char_start=start, char_end=end)
                    | {"sample_id": sample_id, "image_id": image_id}
                )
                hits = [order for order, word in enumerate(words) if start < word.end and end > word.start]
                before = end <= words[0].start
                wanted.append(
                    ("first-gendered" if hits[0] == 0 else "later-gendered")
                    if hits
                    else "pre-gender"
                    if before
                    else "other"
                )
    found = position_sets(pl.DataFrame(rows, schema=TOKENS), samples, GENDER).to_list()
    assert found == wanted
    assert set(Counter(found)) <= set(GENDER.position_sets)


def test_a_row_pooled_over_a_caption_or_a_prompt_stands_for_no_place_in_it() -> None:
    pooled = {"token_id": None}
    rows = [
        token("prompt", 3, token="[prompt]", **pooled),
        token("caption", 11, char_start=0, char_end=len(CAPTION), **pooled | {"token": CAPTION}),
        token("image", 1, None, token="[image]", **pooled),
    ]
    assert sets(rows) == ["other", "other", "image"]


def test_another_prompt_row_does_not_take_the_place_of_a_decision_point_that_was_dropped() -> None:
    prompt = [token("prompt", 3), token("prompt", 4, special=True)]
    assert sets([*prompt, word(5, "In the")]) == ["other", "last-prompt", "pre-gender"]
    assert sets([prompt[0], word(5, "In the")]) == ["other", "pre-gender"]


def test_an_outlier_is_no_decision_point_and_in_no_set_of_claims() -> None:
    rows = [token("image", 1, None), token("prompt", 3), word(4, "In the"), word(5, " a"), word(6, " wom")]
    assert sets(rows) == ["image", "last-prompt", "pre-gender", "pre-gender", "first-gendered"]
    for place in range(len(rows)):
        marked = pl.DataFrame(rows, schema=TOKENS).with_columns(outlier=pl.int_range(pl.len()) == place)
        marked = marked.with_columns(special=pl.col("special") | pl.col("outlier"))
        found = position_sets(marked, SAMPLES, GENDER).to_list()
        assert found == [*sets(rows)[:place], "other", *sets(rows)[place + 1 :]]
