"""Two-level resamples against a loop that draws them one by one, against algebra, and by how often intervals cover."""

import numpy as np
import pytest

from core.stats.intervals import auroc, bootstrap_auroc, bootstrap_mean, bootstrap_ratio, weights
from core.stats.two_level import Nested


def nested(groups: int, members: int) -> Nested:
    return Nested.of(np.repeat(np.arange(groups), members).tolist(), np.arange(groups * members))


def drawn_by_loop(values: np.ndarray, own: Nested, draws: int, seed: int) -> np.ndarray:
    """Means of resamples, group by group and value by value."""
    random = np.random.default_rng(seed)
    names, means = np.unique(own.groups), []
    for _ in range(draws):
        parts = []
        for group in random.choice(names, names.size):
            units = np.unique(own.units[own.groups == group])
            parts += [values[own.units == unit] for unit in random.choice(units, units.size)]
        means.append(np.concatenate(parts).mean())
    return np.array(means)


def world(seed: int, groups: int, members: int, between: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.repeat(between * random.normal(size=groups), members) + random.normal(size=groups * members)


def test_resamples_are_those_of_a_loop_over_groups_and_units():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(7), [1, 2, 3, 4, 8, 8, 10])
    own = Nested.of(groups.tolist(), np.arange(groups.size) // 2 + 100 * groups)  # twins within a group
    values = groups + random.normal(size=groups.size)
    counts = weights(values.size, 4000, 3, own)
    means = counts @ values / counts.sum(axis=1)
    expected = drawn_by_loop(values, own, 2500, 1)
    assert means.mean() == pytest.approx(expected.mean(), abs=0.06)
    assert means.std() == pytest.approx(expected.std(), rel=0.06)
    np.testing.assert_allclose(np.quantile(means, [0.025, 0.975]), np.quantile(expected, [0.025, 0.975]), atol=0.2)


def test_the_spread_of_resampled_means_is_the_one_that_algebra_gives():
    # Davison & Hinkley (1997), §3.8: both levels with replacement.
    groups, members = 12, 5
    values = world(1, groups, members, 1.0)
    own = nested(groups, members)
    counts = weights(values.size, 40_000, 0, own)
    by_group = values.reshape(groups, members)
    spread = by_group.mean(axis=1).var() / groups + by_group.var(axis=1).mean() / (groups * members)
    assert (counts @ values / counts.sum(axis=1)).var() == pytest.approx(spread, rel=0.03)


def test_values_of_a_unit_are_drawn_together_and_groups_bring_as_many_as_they_have():
    own = Nested.of(["a", "a", "b", "b", "b", "b"], np.array([0, 0, 1, 1, 2, 2]))
    counts = weights(6, 200, 0, own)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 1])
    np.testing.assert_array_equal(counts[:, 4], counts[:, 5])
    assert set(counts[:, 0]) == {0, 1, 2} and (counts[:, 2:].sum(axis=1) == 4 * (2 - counts[:, 0])).all()


def test_groups_that_share_a_unit_are_one_group():
    own = Nested.of(["a", "b", "b", "c"], np.array([0, 0, 1, 2]))
    assert own.groups[0] == own.groups[1] == own.groups[2] != own.groups[3]


def test_one_group_has_a_mean_and_no_interval():
    own, values = nested(1, 6), np.arange(6.0)
    for found in (
        bootstrap_mean(values, 50, 0, own),
        bootstrap_ratio(values, values + 1, 50, 0, own),
        bootstrap_auroc(values, (values > 2).astype(int), 50, 0, own),
    ):
        assert np.isnan([found.low, found.high]).all() and np.isfinite(found.mean)


def test_values_that_are_not_finite_leave_the_others_in_their_groups():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    own = Nested.of(["a", "a", "b", "b"], np.arange(4))
    kept = bootstrap_mean(values[[0, 2, 3]], 100, 0, own[np.array([0, 2, 3])])
    assert bootstrap_mean(values, 100, 0, own) == kept


def test_the_area_is_resampled_over_groups():
    random = np.random.default_rng(4)
    positive = np.arange(80) % 2
    own = nested(10, 8)
    scores = positive * np.repeat(random.normal(1, 1, 10), 8) + random.normal(size=80)
    found, plain = bootstrap_auroc(scores, positive, 800, 0, own), bootstrap_auroc(scores, positive, 800, 0)
    assert found.mean == plain.mean == auroc(scores, positive)
    assert found.high - found.low > plain.high - plain.low


@pytest.mark.parametrize("between, low, high", [(1.0, 0.90, 0.98), (3.0, 0.88, 0.98), (0.0, 0.97, 1.0)])
def test_intervals_cover_as_often_as_they_say_where_groups_differ(between: float, low: float, high: float):
    """At 24 groups of 6: nominal where groups differ, wider than nominal where they do not; never as narrow as images
    by themselves."""
    own = nested(24, 6)
    covered, alone = [], []
    for seed in range(200):
        values = world(seed, 24, 6, between)
        ends = bootstrap_mean(values, 200, 0, own)
        covered.append(ends.low <= 0 <= ends.high)
        ends = bootstrap_mean(values, 200, 0)
        alone.append(ends.low <= 0 <= ends.high)
    assert low <= np.mean(covered) <= high
    assert between == 0 or np.mean(alone) < 0.75
