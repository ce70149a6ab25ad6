from pathlib import Path

import polars as pl
import pytest

from core.data.samples import prepare, read_samples
from core.progress import silent
from core.study.data import EmojiSource


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    out = tmp_path_factory.mktemp("emoji")
    summary = prepare(EmojiSource(source="emoji"), Path(), out, silent)
    assert (summary.has_images, summary.languages, summary.dropped) == (False, ["en", "ar"], 0)
    return read_samples(out)


def test_pairs_are_as_many_as_the_study_says(everything: pl.DataFrame) -> None:
    women = everything.filter(pl.col("visible_gender") == "woman")
    assert women.height == 482
    assert women["caption_en"].str.starts_with("woman ").sum() == 463
    assert women.filter(pl.col("skin_tone").is_null()).height == 82


def test_a_pair_differs_in_gender_alone(everything: pl.DataFrame) -> None:
    women = everything.filter(pl.col("visible_gender") == "woman")
    men = everything.filter(pl.col("visible_gender") == "man")
    pairs = women.join(men, left_on="twin_id", right_on="sample_id", suffix="_man")
    assert pairs.height == women.height == men.height
    assert (pairs["caption_en"].str.replace("woman", "man") == pairs["caption_en_man"]).all()
    assert (pairs["twin_id_man"] == pairs["sample_id"]).all()
    assert (pairs["skin_tone"].fill_null("") == pairs["skin_tone_man"].fill_null("")).all()
    assert (pairs["split"] == pairs["split_man"]).all()


def test_both_languages_tell_the_gender_of_nearly_every_pair(everything: pl.DataFrame) -> None:
    shown = everything.filter(pl.col("visible_gender") != "neutral").with_columns(
        wanted=pl.col("visible_gender").replace_strict({"woman": "female", "man": "male"})
    )
    assert (shown["gender_en"] == shown["wanted"]).all()
    assert (shown["gender_ar"] == shown["wanted"]).mean() >= 0.98


def test_a_family_of_names_stays_in_one_split(everything: pl.DataFrame) -> None:
    assert everything.group_by("profession").agg(pl.col("split").n_unique())["split"].max() == 1
    shares = everything["split"].value_counts(normalize=True)
    assert dict(shares.iter_rows())["train"] == pytest.approx(0.5, abs=0.02)


def test_neutral_variants_name_no_gender_in_english(everything: pl.DataFrame) -> None:
    neutral = everything.filter(pl.col("visible_gender") == "neutral")
    assert neutral.height > 450
    assert (neutral["gender_en"] == "neutral").all()
    assert neutral["twin_id"].is_null().all()
    assert {"profession", "activity", "person"} == set(neutral["kind"])


def test_a_draw_takes_whole_pairs(tmp_path: Path) -> None:
    summary = prepare(EmojiSource(source="emoji", num_samples=50, skin_tones=False), Path(), tmp_path, silent)
    frame = read_samples(tmp_path)
    assert 47 <= summary.samples <= 50
    assert set(frame["twin_id"].drop_nulls()) <= set(frame["sample_id"])
    assert (frame["visible_gender"] == "woman").sum() == (frame["visible_gender"] == "man").sum()
    assert frame["skin_tone"].is_null().all()
