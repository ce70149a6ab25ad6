"""Interactions in the planted world: one feature says the gender on either side, and no two act together."""

from dataclasses import replace

import polars as pl
import pytest

from core.analysis.interactions import Config
from core.analysis.interactions.run import run
from core.analysis.result import Result
from tests.core.causal.causal_world import LAYER, MALE, SAID, CausalWorld
from tests.core.causal.sourced import assert_sourced

CONFIG = Config(layers=(LAYER,), features=2, images=4, sets=19, network=4, bootstrap=200)


@pytest.fixture(scope="session")
def world(shared_causal_world: CausalWorld) -> CausalWorld:
    return shared_causal_world


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return run(world.inputs, CONFIG)


def test_an_image_is_moved_by_one_side_alone_so_that_the_pair_adds_nothing(result: Result) -> None:
    pairs = result.tables["pairs"]
    assert {*pairs["feature"], *pairs["partner"]} == {SAID, MALE + SAID}
    assert (pairs["both_shift"] > 1).all()
    assert (pairs["interaction"].abs() < 0.05 * pairs["both_shift"]).all()
    assert all(one.verdict == "not found" for one in result.estimates)


def test_the_two_sides_never_fire_together_and_everything_is_sourced(result: Result) -> None:
    met = result.tables["network"].filter(
        pl.col("feature").is_in([SAID, MALE + SAID]), pl.col("partner").is_in([SAID, MALE + SAID])
    )
    assert met.is_empty()
    assert result.tables["features"]["feature"][:2].sort().to_list() == [SAID, MALE + SAID]
    assert_sourced(result)


def test_the_random_sets_stand_beside_the_chosen_one_within_their_caliper(result: Result) -> None:
    table = result.tables["balance"]
    assert set(table["language"]) == {"en", "ar"} and (table["caliper"] <= 2).all()
    rates = table.filter(measure="firing rate")
    assert (rates["drawn"] / rates["chosen"]).is_between(0.5, 2).all()


def test_without_ranked_features_nothing_is_measured(world: CausalWorld) -> None:
    nobody = replace(world.inputs.open_layer(LAYER), read_ranked=None)
    few = world.samples.with_columns(pl.lit("train").alias("split"))
    opened = replace(nobody, samples=few)
    found = run(replace(world.inputs, open_layer={LAYER: opened}.__getitem__), CONFIG)
    assert not found.estimates and found.tables["pairs"].is_empty() and "nothing was measured" in found.notes[0]


def test_a_second_number_of_features_has_estimates_of_its_own_and_leaves_the_first_alone(
    world: CausalWorld, result: Result
) -> None:
    both = run(world.inputs, CONFIG.model_copy(update={"second_features": 3}))
    assert both.tables["overall"].equals(result.tables["overall"]) and "second" not in result.tables
    assert both.estimates[: len(result.estimates)] == result.estimates
    second = {one.name: one for one in both.estimates[len(result.estimates) :]}
    assert set(second) == {"interaction_second.en", "interaction_second.ar"}
    assert all(one.q is not None and not one.answers and "3 highest" in one.condition for one in second.values())
    assert_sourced(both)


def test_a_second_number_that_chooses_the_same_features_is_not_measured_again(world: CausalWorld) -> None:
    same = run(world.inputs, CONFIG.model_copy(update={"second_features": 2, "images": 2}))
    assert "second" not in same.tables and any("2 features at both numbers" in note for note in same.notes)
    assert "second_features" not in Config().model_dump()
