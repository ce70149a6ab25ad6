"""What a feature has to do with attributes of the images: planted, at random, and hidden by twins."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core.data.gender_concept import GENDER
from core.errors import BadInput
from core.features.breakdown import MEANS, Drawing, feature_means, heat, spreads, sweep
from core.features.index import FeatureIndex
from core.features.row_groups import group_rows
from tests.core.features.planted_layer import Layer

N = 120
FEW = Drawing(draws=199)


def samples(twins: bool = False) -> pl.DataFrame:
    """Images with a place of four, a mood of three and a gender; twins differ in their gender alone."""
    rng = np.random.default_rng(0)
    base = np.arange(N) // 2 if twins else np.arange(N)
    place, mood = rng.integers(0, 4, N)[base], rng.integers(0, 3, N)[base]
    return pl.DataFrame(
        {
            "sample_id": [f"{n:03d}" for n in range(N)],
            "image_id": [f"i{n:03d}" for n in range(N)],
            "twin_id": [f"{n ^ 1:03d}" if twins else None for n in range(N)],
            "place": np.array(["beach", "park", "street", "shop"])[place],
            "mood": np.array(["calm", "glad", "sad"])[mood],
            "visible_gender": np.where(np.arange(N) % 2 == 0, "female", "male"),
        }
    )


def means(values: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"image_id": [f"i{n:03d}" for n in range(N)], "value": values}, schema=MEANS)


def test_means_are_those_of_the_dense_activations(layer: Layer, index: FeatureIndex) -> None:
    own = layer.samples.with_columns(gender_en=pl.lit("female"), gender_ar=pl.lit("female"))
    groups = group_rows(layer.tokens, own, GENDER)
    sets = [name for name in GENDER.position_sets if name != "other"]
    for feature in (4, 7, 11):
        for language in ("en", "ar"):
            found = feature_means(index, groups, feature, language, sets)
            position = groups.table["position_set"].gather(np.maximum(groups.of_row, 0))
            counted = (groups.of_row >= 0) & position.is_in(sets).to_numpy()
            ours = layer.tokens["language"].is_null() | (layer.tokens["language"] == language)
            kept = layer.tokens.with_columns(value=pl.Series(layer.dense[:, feature])).filter(pl.Series(counted) & ours)
            expected = kept.group_by("image_id").agg(pl.col("value").cast(pl.Float64).mean()).sort("image_id")
            assert found["image_id"].to_list() == expected["image_id"].to_list()
            np.testing.assert_allclose(found["value"], expected["value"], rtol=2e-3, atol=1e-6)


def test_a_place_that_has_no_rows_is_told_with_those_that_have(layer: Layer, index: FeatureIndex) -> None:
    own = layer.samples.with_columns(gender_en=pl.lit("female"), gender_ar=pl.lit("female"))
    groups = group_rows(layer.tokens, own, GENDER)
    with pytest.raises(BadInput, match=r"no row of 'en' is in margin; there are first-gendered, image, .*pre-gender"):
        feature_means(index, groups, 4, "en", ["margin"])


def test_a_planted_attribute_explains_the_feature_and_no_other_does() -> None:
    own = samples()
    planted = (own["place"] == "beach").to_numpy() * 2.0 + np.random.default_rng(1).random(N)
    table = spreads(means(planted), own, FEW)
    assert table["attribute"][0] == "place" and table["q"][0] < 0.05 and table["share"][0] > table["control_high"][0]
    assert (table.filter(pl.col("attribute") != "place")["q"] > 0.05).all()
    swept = sweep(means(planted), own, "place", FEW)
    assert swept["value"][0] == "beach" and swept["low"][0] > swept["high"][1:].max()
    assert swept["images"].sum() == N


def test_no_attribute_explains_noise_more_often_than_it_may() -> None:
    """Of 60 random features, each asked about three attributes, q is below 5 % for about one in twenty."""
    own, rng = samples(), np.random.default_rng(2)
    found = [spreads(means(rng.random(N)), own, FEW)["q"].min() for _ in range(60)]
    assert sum(q < 0.05 for q in found) <= stats.binom.ppf(0.999, 60, 0.05)


def test_twins_are_one_unit_where_they_are_alike_and_compared_where_they_differ() -> None:
    own, rng = samples(twins=True), np.random.default_rng(3)
    by_twin = np.repeat(rng.random(N // 2), 2)
    # As 120 images of 60 scenes, chance looks twice as sure as it is: the share of shuffles is as wide as for 60.
    wide = spreads(means(by_twin), own, FEW).filter(attribute="place")
    half = own.with_row_index().filter(pl.col("index") % 2 == 0).drop("index").with_columns(twin_id=pl.lit(None))
    alone = spreads(means(by_twin).filter(pl.col("image_id").is_in(half["image_id"].implode())), half, FEW)
    assert wide["share"][0] == pytest.approx(alone.filter(attribute="place")["share"][0])
    # Between scenes the feature differs a hundred times as much as it does between twins.
    gendered = by_twin * 100 + (own["visible_gender"] == "female").to_numpy()
    table = spreads(means(gendered), own, FEW).filter(attribute="visible_gender")
    assert table["p"][0] == 1 / (1 + FEW.draws)


def test_means_and_intervals_of_a_sweep_are_those_of_its_images() -> None:
    own, values = samples(), np.random.default_rng(4).random(N)
    table = sweep(means(values), own, "mood", FEW)
    for row in table.iter_rows(named=True):
        chosen = values[(own["mood"] == row["value"]).to_numpy()]
        assert row["mean"] == pytest.approx(chosen.mean()) and row["images"] == row["units"] == chosen.size
        reference = stats.bootstrap((chosen,), np.mean, method="percentile", rng=0)
        assert row["low"] == pytest.approx(reference.confidence_interval.low, abs=0.02)
        assert row["high"] == pytest.approx(reference.confidence_interval.high, abs=0.02)
    assert table["firing"].to_list() == [1.0] * 3


def test_heat_has_a_cell_for_each_pair_that_occurs() -> None:
    own, values = samples(), np.random.default_rng(5).random(N)
    table = heat(means(values), own, "mood", "place")
    assert table["images"].sum() == N and table.height == 12
    one = table.row(3, named=True)
    chosen = values[((own["mood"] == one["x"]) & (own["place"] == one["y"])).to_numpy()]
    assert one["mean"] == pytest.approx(chosen.mean())


def test_an_attribute_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="the samples have no attribute 'weather'; there are mood, place"):
        sweep(means(np.zeros(N)), samples(), "weather")
    with pytest.raises(BadInput, match="'mood' is asked for twice"):
        heat(means(np.zeros(N)), samples(), "mood", "mood")
