"""Flips: which sentences are a pair, how far a feature follows one flip rather than another, and against what."""

import itertools

import numpy as np
import polars as pl
import pytest

from core.concepts.flips import Flip, preference, responses
from core.errors import BadInput

GENDER, PLACE = Flip("gender", ("female", "male")), Flip("place", ("beach", "school"))


def scenes(count: int) -> pl.DataFrame:
    """Every scene in four versions, the rows in no helpful order."""
    rows = itertools.product(range(count), GENDER.between, PLACE.between)
    table = pl.DataFrame(list(rows), schema=["family", "gender", "place"], orient="row")
    return table.sample(fraction=1.0, shuffle=True, seed=1)


def flips(table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return GENDER.pairs(table, ["family", "place"]), PLACE.pairs(table, ["family", "gender"])


def test_a_pair_differs_in_its_own_column_alone_and_keeps_the_order_of_its_values() -> None:
    table = scenes(5)
    for flip, fixed in ((GENDER, ["family", "place"]), (PLACE, ["family", "gender"])):
        pairs = flip.pairs(table, fixed)
        assert len(pairs) == 10
        first, second = table[pairs[:, 0]], table[pairs[:, 1]]
        assert first.select(fixed).equals(second.select(fixed))
        assert set(first[flip.column]) == {flip.between[0]} and set(second[flip.column]) == {flip.between[1]}


@pytest.mark.parametrize(
    ("flip", "fixed", "told"),
    [
        (Flip("sky", ("day", "night")), ["family"], "no column 'sky'"),
        (GENDER, ["family", "mood"], "no column 'mood'"),
        (GENDER, ["family"], "several sentences agree in family"),
        (Flip("gender", ("female", "none")), ["family", "place"], "no two sentences differ"),
    ],
)
def test_what_makes_no_pairs_is_told(flip: Flip, fixed: list[str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        flip.pairs(scenes(3), fixed)


def test_a_response_is_the_mean_change_in_standard_deviations_by_scene() -> None:
    table = pl.DataFrame({"family": [0, 0, 1, 1], "gender": ["female", "male"] * 2})
    active = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 1.0], [4.0, 1.0]])
    pairs = GENDER.pairs(table, ["family"])
    found = responses(active, pairs, table["family"].to_numpy())
    assert found[:, 0] == pytest.approx(np.array([2.0, 4.0]) / active[:, 0].std())
    assert np.isnan(found[:, 1]).all()  # it never changes


def test_a_feature_that_follows_gender_prefers_its_flip_and_one_that_follows_neither_does_not() -> None:
    table = scenes(40)
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.3, (table.height, 41))
    controls = noise[:, 1:]
    follows = (table["gender"] == "female").to_numpy() + noise[:, 0]
    own, other = flips(table)
    families = table["family"].to_numpy()
    found = preference(np.column_stack([follows, controls]), families, (own, other), 500, 0)
    turned = preference(np.column_stack([follows, controls]), families, (other, own), 500, 0)
    assert 0 < found.low < found.value < found.high and found.own > found.other
    assert found.p is not None and found.control_high is not None
    assert found.value > found.control_high and found.p == pytest.approx(1 / 41)
    assert turned.high < 0 and turned.value == pytest.approx(-found.value)
    assert (found.scenes, found.controls) == (40, 40)
    neither = preference(noise, families, (own, other), 500, 0)
    assert neither.low < 0 < neither.high and neither.p is not None and neither.p > 0.05


def test_among_features_that_all_follow_gender_none_is_beyond_the_others() -> None:
    table = scenes(40)
    noise = np.random.default_rng(1).normal(0, 0.3, (table.height, 40))
    active = (table["gender"] == "female").to_numpy()[:, None] + noise
    found = preference(active, table["family"].to_numpy(), flips(table), 500, 0)
    assert found.low > 0 and found.p is not None and found.p > 0.05


def test_without_controls_there_is_an_interval_and_no_p() -> None:
    table = scenes(10)
    active = (table["gender"] == "female").to_numpy()[:, None].astype(float)
    found = preference(active, table["family"].to_numpy(), flips(table), 100, 0)
    assert found.p is None and found.control is None and found.controls == 0
    assert found.value == pytest.approx(2.0)  # an even split of 0 and 1 has a standard deviation of a half


def test_a_feature_that_never_changes_is_told() -> None:
    table = scenes(4)
    with pytest.raises(BadInput, match="as active on all sentences"):
        preference(np.ones((table.height, 2)), table["family"].to_numpy(), flips(table), 100, 0)
