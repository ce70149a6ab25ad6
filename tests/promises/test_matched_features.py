"""Features are compared with others that fire as often, averaged by image as they are themselves."""

import numpy as np
import pytest

from core.analysis.visual_patterns.matched import Comparison, ImageResampling, compare, match_features
from core.stats.rate_matching import CALIPER, LEAST, RateMatched, match_rates
from tests.promises.image_world import (
    CHOSEN,
    FREE,
    make_profile,
    make_ranking,
)

# What features are compared with


def test_controls_passed_the_same_filters_are_as_active_on_image_rows_and_not_associated() -> None:
    matched = match_features(make_ranking(), make_profile(), CHOSEN)
    assert matched.features == CHOSEN
    assert [sorted(found.tolist()) for found in matched.candidates] == [list(FREE), list(FREE)]


def test_rates_match_within_the_caliper_nearest_first_and_few_candidates_are_no_match() -> None:
    rates = 0.1 * np.array([1, CALIPER * 0.99, 1 / (CALIPER * 0.99), 1.01, 0.98, 1.05, CALIPER * 1.02, 0, 1, 9])
    pool = np.ones(rates.size, dtype=bool)
    pool[8] = False
    matched = match_rates((0, 9, 7), rates, pool)
    assert matched.features == (0,) and matched.unmatched == (9, 7)
    nearest = matched.candidates[0].tolist()
    assert nearest[:3] == [3, 4, 5] and set(nearest[3:]) == {1, 2} and LEAST == 5
    pool[3] = False
    assert match_rates((0,), rates, pool).unmatched == (0,)


def test_no_control_is_twice_in_a_set_and_equal_sets_count_once() -> None:
    candidates = tuple(np.arange(5, 10) for _ in range(2))
    sets = RateMatched((0, 1), candidates, ()).sets(1000, np.random.default_rng(0))
    assert all(len(set(one)) == 2 for one in sets.tolist())
    assert len(sets) == 10  # as many as there are pairs of five
    assert set(sets.ravel().tolist()) == set(range(5, 10))


def compared(
    measured: np.ndarray, scores: dict[int, np.ndarray], units: np.ndarray | None = None, seed: int = 0
) -> Comparison:
    matched = RateMatched((0,), (np.array(list(scores)),), ())
    codes = np.arange(measured.size) if units is None else units
    return compare(measured[None], (0,), matched, scores, ImageResampling(codes, 200, seed))


NAN = np.nan


def test_controls_are_averaged_by_image_as_the_features_are() -> None:
    # Five controls hit the box on the first image; on the second only one of them fires, and misses.
    scores = {feature: np.array([1.0, NAN]) for feature in (5, 6, 7, 8)} | {9: np.array([1.0, 0.0])}
    found = compared(np.array([1.0, 1.0]), scores)
    assert found.control == pytest.approx(0.5)  # pooled over maps it is 5/6
    assert found.above.mean == pytest.approx(0.5)
    assert found.images == 2


def test_controls_count_on_the_images_where_the_features_fire() -> None:
    scores = {feature: np.array([1.0, 1.0, 0.0, 0.0]) for feature in range(5, 10)}
    found = compared(np.array([1.0, 0.0, NAN, NAN]), scores)
    assert (found.control, found.images, found.above.mean) == (1.0, 2, -0.5)


def test_a_set_of_controls_is_a_mean_by_image_too() -> None:
    # One control is silent where the other fires: the set's mean is over the one that fires.
    scores = {5: np.array([1.0, NAN, NAN, 0.0]), 6: np.array([NAN, 0.0, 1.0, NAN])}
    matched = RateMatched((0, 1), (np.array([5]), np.array([6])), ())
    found = compare(np.ones((2, 4)), (0, 1), matched, scores, ImageResampling(np.arange(4), 100, 0))
    assert found.control == 0.5 and found.draws == 1


def test_features_without_a_match_are_compared_with_nothing() -> None:
    found = compare(np.ones((1, 4)), (0,), RateMatched((), (), (0,)), {}, ImageResampling(np.arange(4), 100, 0))
    assert np.isnan(found.above.mean) and found.p is None and found.draws == 0


def test_twins_are_one_unit_of_the_interval_and_of_the_null() -> None:
    random = np.random.default_rng(0)
    measured = random.random(12)
    scores = {feature: random.random(12) for feature in range(5, 25)}
    single = compared(measured, scores)
    twice = {feature: np.repeat(values, 2) for feature, values in scores.items()}
    paired = compared(np.repeat(measured, 2), twice, np.repeat(np.arange(12), 2))
    assert paired.above == pytest.approx(single.above)
    assert paired.null == pytest.approx(single.null)
    apart = compared(np.repeat(measured, 2), twice)
    assert apart.above.high - apart.above.low < 0.9 * (single.above.high - single.above.low)


def test_the_null_carries_features_and_images_and_p_is_two_sided() -> None:
    random = np.random.default_rng(1)
    scores = {feature: (random.random(30) < 0.5).astype(float) for feature in range(5, 45)}
    high, low = compared(np.ones(30), scores), compared(np.zeros(30), scores)
    assert high.p == pytest.approx(1 / (high.draws + 1)) and low.p == pytest.approx(1 / (low.draws + 1))
    assert high.above.mean > 0 > low.above.mean
    # 40 controls with a spread of 0.5/√30 between them, and as much again by resampling 30 images.
    assert (high.null.high - high.null.low) / 3.92 == pytest.approx(np.sqrt(2 / 30) / 2, rel=0.3)
    usual = compared(scores[7], {feature: values for feature, values in scores.items() if feature != 7})
    assert usual.p is not None and usual.p > 0.05


def test_a_feature_that_is_like_the_others_is_seldom_significant() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        scores = {feature: (random.random(24) < random.beta(2, 4)).astype(float) for feature in range(41)}
        measured = scores.pop(0)
        hits += (compared(measured, scores).p or 1) <= 0.05
    assert hits <= 10


def test_the_interval_carries_the_features_as_p_does() -> None:
    random = np.random.default_rng(5)
    matched = RateMatched((0, 1, 2, 3), (np.arange(5, 45),) * 4, ())
    scores = {feature: random.random(200) for feature in range(5, 45)}
    # Features that are alike, and features of the same mean of which two look and two do not.
    alike, apart = np.full((4, 200), 0.5), np.repeat([0.0, 0.0, 1.0, 1.0], 200).reshape(4, 200)
    same, other = (
        compare(own, (0, 1, 2, 3), matched, scores, ImageResampling(np.arange(200), 500, 0)) for own in (alike, apart)
    )
    assert same.above.mean == pytest.approx(other.above.mean)
    assert same.above.high - same.above.low < 0.1
    assert (other.above.high - other.above.low) / 3.92 == pytest.approx(0.25, rel=0.3)


def test_draws_follow_the_seed() -> None:
    random = np.random.default_rng(3)
    measured, scores = random.random((2, 12)), {feature: random.random(12) for feature in range(5, 85)}
    matched = RateMatched((0, 1), (np.arange(5, 45), np.arange(45, 85)), ())
    first, again, other = (
        compare(measured, (0, 1), matched, scores, ImageResampling(np.arange(12), 200, seed)) for seed in (0, 0, 1)
    )
    assert first.null == again.null != other.null
    assert first.above != other.above
    assert first.control == again.control != other.control, "1000 of 1600 sets"
