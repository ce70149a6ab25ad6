"""Which rows an autoencoder learns from."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.sae.rows import choose_rows, load_rows
from core.study.sae import SAEConfig
from tests.core.features.planted_layer import make_layer


@pytest.fixture
def tokens() -> pl.DataFrame:
    """Six images: 3 shared prompt rows, 10 image rows, then 2 + 2 prompt rows, 8 English and 5 Arabic caption rows; the
    first row of each kind is special."""
    kinds = [("image", None, 10), ("prompt", "en", 2), ("caption", "en", 8), ("prompt", "ar", 2), ("caption", "ar", 5)]
    rows = [
        {"image_id": f"i{image}", "segment": segment, "language": language, "position": position, "special": place == 0}
        for image in range(6)
        for position, (segment, language, place) in enumerate(
            (segment, language, place)
            for segment, language, count in [("prompt", None, 3), *kinds]
            for place in range(count)
        )
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def samples() -> pl.DataFrame:
    return pl.DataFrame({"image_id": [f"i{n}" for n in range(6)], "split": ["train"] * 3 + ["select"] * 2 + ["test"]})


def _kinds(tokens: pl.DataFrame, rows: np.ndarray) -> dict[tuple[str, str | None], int]:
    counted = tokens[rows].group_by("segment", "language").len()
    return {(segment, language): count for segment, language, count in counted.iter_rows()}


def test_languages_are_balanced_and_images_get_their_share(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    choice = choose_rows(tokens, samples, SAEConfig(image_share=0.2))
    assert _kinds(tokens, choice.train) == {
        ("caption", "en"): 12,  # as many as Arabic has: 3 images of 4 rows that are not special
        ("caption", "ar"): 12,
        ("prompt", "en"): 3,
        ("prompt", "ar"): 3,
        ("image", None): 8,  # a fifth of 38 is 7.6
    }
    assert dict(choice.counts)["image"] == 8


def test_special_shared_and_other_splits_rows_stay_out(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    choice = choose_rows(tokens, samples, SAEConfig(image_share=0.9))
    for rows, images in ((choice.train, {"i0", "i1", "i2"}), (choice.held_out, {"i3", "i4"})):
        chosen = tokens[rows]
        assert not chosen["special"].any()
        assert set(chosen["image_id"]) == images
        assert chosen.filter(pl.col("language").is_null())["segment"].unique().to_list() == ["image"]
        assert len(set(rows.tolist())) == len(rows)
        assert (np.diff(rows) > 0).all()


def test_instruction_words_that_the_languages_share_are_learnt(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    """Two of each image's three shared prompt rows are not special; here they stand behind the image."""
    shared = (pl.col("segment") == "prompt") & pl.col("language").is_null()
    behind = tokens.with_columns(pl.when(shared).then(100).otherwise(pl.col("position")).alias("position"))
    choice = choose_rows(behind, samples, SAEConfig(image_share=0.2))
    assert _kinds(behind, choice.train)["prompt", None] == choice.counts["prompt_shared"] == 6
    assert _kinds(behind, choice.train)["image", None] == 9  # a fifth of 45


def test_the_draw_follows_the_seed(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    one, again, other = (choose_rows(tokens, samples, SAEConfig(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.train, again.train)
    assert not np.array_equal(one.train, other.train)


def test_max_rows_cuts_every_kind_in_proportion(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    choice = choose_rows(tokens, samples, SAEConfig(image_share=0.2, max_rows=19))
    kinds = _kinds(tokens, choice.train)
    assert len(choice.train) <= 19
    assert kinds["caption", "en"] == kinds["caption", "ar"] == 6
    assert kinds["image", None] == 4


def test_text_only_and_image_only_tables_give_what_they_have(tokens: pl.DataFrame, samples: pl.DataFrame) -> None:
    text = choose_rows(tokens.filter(pl.col("segment") != "image"), samples, SAEConfig())
    assert "image" not in text.counts
    assert len(text.train) == 30
    image = choose_rows(tokens.filter(pl.col("segment") == "image"), samples, SAEConfig())
    assert image.counts == {"image": 27}
    english = choose_rows(tokens.filter(pl.col("language").eq_missing(pl.lit("en"))), samples, SAEConfig())
    assert english.counts == {"caption_en": 21, "prompt_en": 3}


def test_rows_are_read_as_they_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sae.reading._READ_ROWS", 5)
    layer = make_layer(tmp_path)
    choice = choose_rows(layer.tokens, layer.samples, SAEConfig())
    rows = load_rows(layer.table, layer.samples, SAEConfig())
    assert isinstance(rows.train, torch.Tensor)
    assert rows.train.dtype == torch.bfloat16
    assert torch.equal(rows.train.float(), layer.table.read(choice.train))
    assert len(rows.held_out) == 0  # every image of this table is in the training split
    assert rows.counts == choice.counts
