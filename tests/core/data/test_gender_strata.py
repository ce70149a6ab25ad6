"""How the labels of the two languages stand to each other."""

import polars as pl
import pytest

from core.data.gender_strata import STRATA, generic_images, label_stratum, strata_counts


@pytest.mark.parametrize(
    ("english", "arabic", "stratum"),
    [
        ("female", "female", "both tell the same"),
        ("both", "both", "both tell the same"),
        ("neutral", "male", "generic masculine"),
        ("neutral", "female", "Arabic alone tells"),
        ("none", "male", "Arabic alone tells"),
        ("male", "neutral", "English alone tells"),
        ("female", "male", "they differ"),
        ("both", "male", "they differ"),
        ("neutral", "none", "neither tells"),
        (None, "male", None),
    ],
)
def test_each_pair_of_labels_has_its_class(english: str | None, arabic: str, stratum: str | None) -> None:
    samples = pl.DataFrame(
        {"gender_en": [english], "gender_ar": [arabic]}, dict.fromkeys(("gender_en", "gender_ar"), pl.String)
    )
    assert samples.select(label_stratum()).item() == stratum


def test_classes_are_counted_in_order_and_an_image_is_generic_if_all_its_captions_are() -> None:
    samples = pl.DataFrame(
        {
            "image_id": ["a", "a", "b", "b", "c"],
            "gender_en": ["neutral", "neutral", "neutral", "male", "none"],
            "gender_ar": ["male"] * 4 + ["none"],
        }
    )
    counts = strata_counts(samples)
    assert counts["stratum"].to_list() == [STRATA[0], STRATA[1], STRATA[5]]
    assert counts["samples"].to_list() == [1, 3, 1] and counts["share"].sum() == pytest.approx(1)
    assert generic_images(samples) == ["a"]
    assert strata_counts(samples.with_columns(gender_en=pl.lit(None, pl.String))).is_empty()
