"""How many captions of labels/arabic.csv, `caption,gender,kind`, are labelled as a reader labels them."""

from pathlib import Path

import polars as pl
import pytest

from core.data.gender import label_caption


@pytest.fixture(scope="module")
def labelled() -> pl.DataFrame:
    frame = pl.read_csv(Path(__file__).parent / "labels" / "arabic.csv")
    found = [label_caption(caption, "ar").gender for caption in frame["caption"]]
    return frame.with_columns(found=pl.Series(found, dtype=pl.String))


def test_the_list_is_long_and_has_every_label(labelled: pl.DataFrame) -> None:
    assert labelled["caption"].n_unique() == labelled.height >= 250
    assert set(labelled["gender"]) == {"female", "male", "both", "neutral", "none"}


@pytest.mark.parametrize("by", ["kind", "gender"])
def test_captions_are_labelled_as_a_reader_does(labelled: pl.DataFrame, by: str) -> None:
    for (name,), part in labelled.group_by(by):
        wrong = part.filter(pl.col("gender") != pl.col("found"))
        assert 1 - wrong.height / part.height >= (0.98 if name == "natural" else 0.95), wrong.rows()
