"""A feature is the concept's only where no other attribute explains as much of it, over the same images."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from core.data.attributes import attributes_by_image
from core.data.concept import Concept
from core.data.gender_concept import GENDER
from core.data.own_columns import other_attributes, same_as
from core.data.studied_concept import studied_concept
from core.features.associations import Labels, describe, labelled_images
from core.features.correlates import (
    CORRELATES,
    adjusted_eta2,
    coded_attributes,
    concept_eta2,
    correlates,
    exceeds_all,
    is_shared,
    shared_with,
)
from core.features.row_groups import ImageFeatures
from core.study.concept import StudiedConcept

N = 240
OWN, PLACE, PLACE_ON_SELECT, PLACE_ON_TEST, NOISE = range(5)


def planted() -> tuple[ImageFeatures, pl.DataFrame]:
    """Gender and place are independent; train images are all of gender, test and select ones as planted."""
    rng = np.random.default_rng(0)
    number = np.arange(N)
    split = np.array(["train", "select", "test"])[number % 3]
    female, place = rng.random(N) < 0.5, rng.integers(0, 4, N)
    noise = 0.2 * rng.random((N, 5))
    by_place = 1.0 * (place == 0)
    for feature in range(4):
        noise[:, feature] += 0.3 * female
    noise[:, PLACE] += by_place
    noise[:, PLACE_ON_SELECT] += by_place * (split == "select")
    noise[:, PLACE_ON_TEST] += by_place * (split == "test")
    ids = [f"i{n:03d}" for n in number]
    label = np.where(female, "female", "male")
    samples = pl.DataFrame(
        {
            "sample_id": ids,
            "image_id": ids,
            "split": split,
            "gender_en": label,
            "gender_ar": label,
            "visible_gender": np.where(female, "woman", "man"),
            "place": np.array(["park", "street", "kitchen", "beach"])[place],
            "shade": rng.integers(0, 3, N),
        }
    )
    fired = (noise > 0).astype(np.float64)
    return ImageFeatures(ids, noise, fired, noise), samples


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    features, samples = planted()
    return correlates(features, [PLACE, OWN, PLACE_ON_SELECT, PLACE_ON_TEST], *_about(samples))


def _about(samples: pl.DataFrame) -> tuple[Labels, pl.DataFrame, Any]:
    return Labels.of(GENDER, samples, "en"), samples, GENDER


def test_there_is_one_row_a_feature_and_attribute_and_the_concept_is_no_attribute(table: pl.DataFrame) -> None:
    assert table.schema == CORRELATES
    assert table.select("feature", "attribute").rows() == [
        (feature, name) for feature in (PLACE, OWN, PLACE_ON_SELECT, PLACE_ON_TEST) for name in ("place", "shade")
    ]
    _, samples = planted()
    assert other_attributes(samples, GENDER) == ["place", "shade"]


def test_a_feature_of_the_place_is_shared_and_one_of_gender_is_not(table: pl.DataFrame) -> None:
    assert dict(shared_with(table).iter_rows())[PLACE] == "place"
    assert dict(shared_with(table).iter_rows())[OWN] is None


def test_a_correlate_on_either_split_counts_and_the_splits_are_told_apart(table: pl.DataFrame) -> None:
    names = dict(shared_with(table).iter_rows())
    assert names[PLACE_ON_SELECT] == names[PLACE_ON_TEST] == "place"
    flags = {row["feature"]: (row["shared_select"], row["shared_test"]) for row in table.filter(attribute="place").rows(
        named=True)}  # fmt: skip
    assert flags[PLACE_ON_SELECT] == (True, False)
    assert flags[PLACE_ON_TEST] == (False, True)
    assert flags[OWN] == (False, False)


def test_both_are_measured_on_the_images_of_the_split_alone(table: pl.DataFrame) -> None:
    features, samples = planted()
    row = table.filter(feature=OWN, attribute="place").row(0, named=True)
    for split in ("select", "test"):
        kept = (samples["split"] == split).to_numpy()
        values = features.means[kept][:, [OWN]]
        female = (samples["gender_en"] == "female").to_numpy()[kept].astype(int)
        place = samples["place"].rank("dense").to_numpy()[kept].astype(int)
        assert row[f"images_{split}"] == kept.sum()
        assert row[f"concept_{split}"] == pytest.approx(adjusted_eta2(values, female)[0])
        assert row[f"eta2_{split}"] == pytest.approx(adjusted_eta2(values, place)[0])


def test_concept_and_attribute_are_compared_over_images_of_which_both_are_known() -> None:
    features, samples = planted()
    female = samples["gender_en"] == "female"
    some = samples.with_columns(pl.when(female | (pl.int_range(N) % 2 == 0)).then("place").alias("place"))
    row = correlates(features, [OWN], *_about(some)).filter(attribute="place").row(0, named=True)
    kept = ((some["split"] == "test") & some["place"].is_not_null()).to_numpy()
    assert row["images_test"] == kept.sum() < (some["split"] == "test").sum()
    own = adjusted_eta2(features.means[kept][:, [OWN]], female.to_numpy()[kept].astype(int))
    assert row["concept_test"] == pytest.approx(own[0])


def test_adjusted_eta2_is_that_of_the_analysis_of_variance_less_chance() -> None:
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=(60, 400)), np.arange(60) % 20
    adjusted = adjusted_eta2(values, groups)
    means = np.stack([values[groups == g].mean(axis=0) for g in range(20)])[groups]
    plain = ((means - values.mean(axis=0)) ** 2).sum(axis=0) / ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    assert adjusted == pytest.approx(1 - (1 - plain) * 59 / 40)
    assert abs(adjusted.mean()) < 0.02 < 0.25 < plain.mean()


def test_many_groups_do_not_outdo_the_concept_by_chance() -> None:
    features, samples = planted()
    rng = np.random.default_rng(3)
    many = samples.with_columns(place=pl.Series(rng.integers(0, 45, N)).cast(pl.String))
    assert not correlates(features, [OWN], *_about(many))["shared_test"].any()


def test_an_attribute_that_sorts_as_the_concept_does_is_at_least_as_strong_and_shared() -> None:
    features, samples = planted()
    alike = samples.with_columns(shirt=pl.col("gender_en").replace({"female": "red", "male": "blue"}))
    assert dict(shared_with(correlates(features, [OWN], *_about(alike))).iter_rows()) == {OWN: "shirt"}


def _described() -> tuple[ImageFeatures, pl.DataFrame, Concept]:
    """Park and street as a study describes them; every park is code 1, and a park's sign says so for all but one."""
    features, samples = planted()
    park = pl.col("place") == "park"
    samples = samples.with_columns(
        caption_en=pl.lit("a ") + pl.col("place"),
        place_code=pl.when(park).then(1).when(pl.col("place") == "street").then(2),
        sign=pl.when(park & (pl.int_range(pl.len()) != park.arg_max())).then(pl.lit("lawn")).otherwise(pl.lit("kerb")),
    )
    words = {"park": {"en": ["park"]}, "street": {"en": ["street"]}}
    concept = studied_concept(StudiedConcept.model_validate({"name": "setting", "words": words}), samples)
    return features, concept.labelled(samples), concept


def test_a_column_that_sorts_images_as_a_described_concept_does_is_no_attribute_of_it() -> None:
    features, samples, concept = _described()
    on_side = samples["setting_en"].is_in(["park", "street"]).sum()
    assert same_as(samples, concept) == {"place": on_side, "place_code": on_side}
    assert "sign" in other_attributes(samples, concept) and "place" not in other_attributes(samples, concept)
    table = correlates(features, [PLACE], Labels.of(concept, samples, "en"), samples.drop("sign"), concept)
    assert dict(shared_with(table).iter_rows()) == {PLACE: None}
    assert set(table["attribute"]) == {"gender_ar", "gender_en", "shade", "visible_gender"}


def test_what_sorts_images_as_the_built_in_concept_does_stays_its_attribute() -> None:
    _, samples = planted()
    alike = samples.with_columns(shirt=pl.col("gender_en").replace({"female": "red", "male": "blue"}))
    assert same_as(alike, GENDER) == {"shirt": N} and "shirt" in other_attributes(alike, GENDER)


def test_a_feature_of_nothing_is_shared_with_nothing() -> None:
    features, samples = planted()
    constant = ImageFeatures(features.images, np.zeros((N, 1)), np.zeros((N, 1)), np.zeros((N, 1)))
    assert shared_with(correlates(constant, [0], *_about(samples)))["shared_with"].to_list() == [None]
    assert not exceeds_all(np.array([0.0, 1, 0, 1]), np.ones((4, 1), bool), {"a": np.array([0, 1, 0, 1])}).any()


def test_an_attribute_that_explains_less_than_random_groups_would_shares_nothing() -> None:
    """Both below 0, the attribute the less: neither explains anything."""
    own, concept = np.array([-0.01, -0.01, 0.01, 0.2, np.nan]), np.array([-0.02, np.nan, np.nan, 0.2, 0.1])
    assert is_shared(own, concept).tolist() == [False, False, True, True, False]


def test_of_several_attributes_the_one_that_exceeds_most_is_named() -> None:
    features, samples = planted()
    parks = pl.when(pl.col("place") == "park").then(pl.lit("yes")).otherwise(pl.lit("no"))
    worse = pl.when(pl.int_range(N) % 5 == 0).then(pl.lit("no")).otherwise(parks)
    table = correlates(features, [PLACE], *_about(samples.with_columns(indoors=worse, zone=parks)))
    assert shared_with(table)["shared_with"].to_list() == ["zone"]


def test_an_image_whose_samples_disagree_has_no_attribute_and_nulls_do_not_count() -> None:
    samples = pl.DataFrame(
        {"image_id": ["a", "a", "b", "b", "c"], "place": ["park", "beach", None, "park", None], "wet": [True] * 5}
    )
    found = attributes_by_image(samples, ["place", "wet"])
    assert found["place"].to_list() == [None, "park", None]
    assert found["wet"].to_list() == ["true"] * 3


def test_groups_follow_the_order_of_the_images_asked_for() -> None:
    _, samples = planted()
    coded = coded_attributes(samples, GENDER, ["i005", "missing", "i001"])["place"]
    first, second = (samples.filter(image_id=name)["place"][0] for name in ("i005", "i001"))
    assert coded[1] == -1 and (coded[0] == coded[2]) == (first == second) and min(coded[0], coded[2]) >= 0


def test_many_labellings_at_once_give_what_each_gives() -> None:
    rng = np.random.default_rng(2)
    values, sides = rng.random(50), rng.random((50, 7)) < 0.4
    each = [adjusted_eta2(values[:, None], side.astype(int))[0] for side in sides.T]
    assert concept_eta2(values, sides) == pytest.approx(each)


def test_the_concept_exceeds_where_its_side_explains_more_than_every_attribute() -> None:
    features, samples = planted()
    female = (samples["gender_en"] == "female").to_numpy()
    shuffled = np.random.default_rng(0).permutation(female)
    sides = np.stack([female, shuffled], axis=1)
    groups = coded_attributes(samples, GENDER, features.images)
    assert exceeds_all(features.means[:, OWN], sides, groups)[0]
    assert exceeds_all(features.means[:, PLACE], sides, groups).tolist() == [False, False]
    unknown = {"place": np.where(female, groups["place"], -1)}
    assert exceeds_all(features.means[:, PLACE], sides, unknown).tolist() == [False, False]


def test_firing_odds_have_half_an_image_added_to_each_cell() -> None:
    features, samples = planted()
    fired = (np.arange(N) % 4 == 0)[:, None] * 1.0
    sparse = ImageFeatures(features.images, fired * 2, fired * 3, fired * 6)
    known = labelled_images(features.images, Labels.of(GENDER, samples, "en"), "test")
    assert known is not None
    row = describe(sparse, known, np.array([0]), GENDER.sides).row(0, named=True)
    here = fired[known.rows, 0]
    cells = [(here[side].sum(), (1 - here[side]).sum()) for side in (known.positive, ~known.positive)]
    odds = [np.log((yes + 0.5) / (no + 0.5)) for yes, no in cells]
    assert row["log_odds"] == pytest.approx(odds[0] - odds[1])
    assert row["mean_female"] == pytest.approx(2 * here[known.positive].mean())
    assert row["active_male"] == pytest.approx(2)
    assert row["support"] == N // 4
