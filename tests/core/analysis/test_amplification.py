import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.analysis.amplification import Config as AmplificationConfig
from core.analysis.amplification.dose_response import isotonic_r2, near_zero, slopes_at_zero
from core.analysis.amplification.figures import figures
from core.analysis.amplification.run import run as amplification
from core.analysis.result import Result
from core.causal.steering import difference_of_means, feature_vector, upper_quantile
from tests.core.causal.causal_world import LAYER, MALE, SAID, STRENGTH, CausalWorld, causal_world
from tests.core.causal.sourced import assert_sourced

CONFIG = AmplificationConfig(
    layers=(LAYER,), features=2, images=6, doses=(-1, -0.5, 0, 0.5, 1), draws=19, bootstrap=100
)


@pytest.fixture(scope="module")
def world(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", {"select": 12, "test": 8}) as opened:
        yield opened


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return amplification(world.inputs, CONFIG)


def own(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("vector") == "features")


def test_the_response_rises_with_the_dose_in_both_languages(result: Result) -> None:
    response = own(result.tables["response"])
    for language in ("en", "ar"):
        odds = response.filter(pl.col("language") == language).sort("dose")["log_odds"].to_numpy()
        assert (np.diff(odds) > 0).all()
    slopes = own(result.tables["slopes"])
    assert (slopes["low"] > 0).all()
    assert (slopes["isotonic_r2"] > 0.6).all()


def test_random_features_of_the_same_length_move_it_less(result: Result) -> None:
    slopes = own(result.tables["slopes"])
    assert (slopes["draws"] == 19).all()
    assert (slopes["p"] <= 0.05).all()


def test_dose_0_changes_nothing_and_norms_grow_with_the_dose(result: Result) -> None:
    response = own(result.tables["response"]).filter(pl.col("language") == "en").sort("dose")
    assert response["relative_norm"].to_list()[2] == 0
    assert response["relative_norm"][0] == pytest.approx(response["relative_norm"][4])
    assert response["relative_norm"][4] == pytest.approx(2 * response["relative_norm"][3])
    assert response["out_of_range"].to_list() == [norm > 1 for norm in response["relative_norm"]]


def test_the_features_speak_for_the_gender_they_were_planted_with(result: Result) -> None:
    features = dict(result.tables["features"].select("feature", "toward").iter_rows())
    assert features == {SAID: "female", MALE + SAID: "male"}


def test_the_vector_is_quantiles_times_signed_decoder_rows(world: CausalWorld) -> None:
    opened = world.inputs.open_layer(LAYER)
    vector = feature_vector(opened, [SAID, MALE + SAID], [1, -1])
    assert upper_quantile(opened, SAID) == pytest.approx(STRENGTH, rel=1e-3)
    np.testing.assert_allclose(vector, 2 * STRENGTH * world.basis[SAID], rtol=1e-3, atol=1e-2)


def test_difference_of_means_finds_the_planted_direction(world: CausalWorld) -> None:
    difference = difference_of_means(world.inputs.open_layer(LAYER))
    assert difference is not None
    cosine = float(difference @ world.basis[SAID] / difference.norm())
    assert cosine > 0.85  # the decoys go their own way in so few images
    assert float(difference @ world.basis[SAID]) == pytest.approx(2 * STRENGTH, rel=0.01)


def test_slopes_are_least_squares_near_0() -> None:
    doses = np.array([-4, -1, 0, 1, 4.0])
    odds = np.array([[9, -2, 0, 2, 9], [0, 1, 1, 1, 0.0]])
    np.testing.assert_allclose(slopes_at_zero(doses, odds), [2, 0])
    assert near_zero([2, -4, 0, -0.5, 1]) == (-0.5, 1)
    np.testing.assert_allclose(slopes_at_zero(np.array([-4, 4.0]), np.array([[0, 16.0]])), [2])


def test_isotonic_r2_is_1_for_a_rising_curve_and_0_for_a_falling_one() -> None:
    doses = np.array([2, 0, 1.0])
    assert isotonic_r2(doses, np.array([[4, 0, 1], [5, 1, 2.0]])) == pytest.approx(1)
    assert isotonic_r2(doses, np.array([[0, 4, 2.0]])) == pytest.approx(0)
    assert math.isnan(isotonic_r2(doses, np.ones((2, 3))))


def test_estimates_answer_by_language(result: Result) -> None:
    assert_sourced(result)
    answers = [one for one in result.estimates if one.answers]
    assert [one.name for one in answers] == ["slope.en", "slope.ar"]
    assert all(one.verdict == "found" and one.draws == 19 for one in answers)
    assert {one.name for one in result.estimates} >= {"rate_change.en", "rate_change.ar", "cost.en", "cost.ar"}


def test_the_rate_at_the_chosen_dose_has_its_control(result: Result) -> None:
    rates = result.tables["rates"]
    assert rates["language"].to_list() == ["en", "ar"]
    assert (rates["draws"] == 19).all()
    assert (rates["dose"] > 0).all()
    assert (rates["change"] >= rates["control"]).all() and rates["change"].max() > 0
    np.testing.assert_allclose(rates["change"], rates["female_rate"] - rates["clean_rate"])


def test_figures_are_valid(result: Result) -> None:
    drawn = figures(result.tables)
    assert set(drawn) == {"dose_response", "slopes", "cost"}
    assert all(figure.chart.to_dict() and figure.caption for figure in drawn.values())


def test_without_any_pair_the_result_says_so(world: CausalWorld) -> None:
    samples = world.samples.with_columns(pl.lit("neutral").alias("visible_gender"))
    found = amplification(replace(world.inputs, samples=samples), CONFIG)
    assert found.estimates == ()
    assert figures(found.tables) == {}
