"""Group means: resampled over groups first, compared with a number of each group, against permuted groups."""

import numpy as np
import pytest
from scipy import stats

from core.features.correlates import adjusted_eta2
from core.stats.group_means import (
    GroupMeans,
    agreement,
    columns_of,
    explained,
    mean_error,
    mean_over_groups,
    too_few,
    weighted_spearman,
)

DRAWS = (400, 199)


def planted(groups: int = 12, each: int = 5, seed: int = 0, between: float = 1.0) -> GroupMeans:
    """A value per unit around its group's number, and that number."""
    rng = np.random.default_rng(seed)
    known = rng.standard_normal(groups)
    codes = np.repeat(np.arange(groups), each)
    values = between * known[codes] + 0.3 * rng.standard_normal(codes.size)
    return GroupMeans(np.stack([values, known[codes]], axis=1), codes, np.arange(codes.size))


def test_the_correlation_of_groups_that_stand_several_times_is_scipys_of_the_repeated_ones() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (20, 9)).astype(float), rng.standard_normal((20, 9))
    x[3, 2] = y[5, 4] = np.nan
    times = rng.integers(0, 4, x.shape).astype(float)
    found = weighted_spearman(x, y, times)
    for row in range(20):
        known = np.isfinite(x[row]) & np.isfinite(y[row])
        repeated = [np.repeat(values[row][known], times[row][known].astype(int)) for values in (x, y)]
        assert found[row] == pytest.approx(stats.spearmanr(*repeated).statistic, nan_ok=True)


def test_an_error_counts_a_group_as_often_as_it_stands() -> None:
    found = mean_error(np.array([[0.1, 0.5, np.nan]]), np.array([[0.3, 0.5, 0.2]]), np.array([[3.0, 1.0, 9.0]]))
    assert found[0] == pytest.approx(0.15)


def test_groups_that_follow_a_number_agree_with_it_and_others_do_not() -> None:
    found = agreement(planted(), (0, 1), weighted_spearman, DRAWS, 0)
    assert found is not None and found.low < found.value <= found.high and found.low > 0.5
    row = columns_of(found)
    assert row["p"] == pytest.approx(1 / 200) and row["permuted_high"] < found.value and row["draws"] == 199
    wrong = [agreement(planted(seed=seed, between=0), (0, 1), weighted_spearman, DRAWS, 0) for seed in range(20)]
    assert sum(one is not None and one.p <= 0.05 for one in wrong) <= 3


def test_an_interval_over_groups_is_wider_than_one_over_units() -> None:
    groups = planted(groups=8, each=30)
    over = mean_over_groups(groups, 0, 1000, 0)
    alone = mean_over_groups(GroupMeans(groups.values, np.zeros_like(groups.codes), groups.units), 0, 1000, 0)
    assert over.mean == alone.mean and over.high - over.low > 2 * (alone.high - alone.low)


def test_means_of_few_groups_draw_units_alone() -> None:
    groups = planted(groups=4, each=30)
    alone = GroupMeans(groups.values, np.zeros_like(groups.codes), groups.units)
    assert too_few(groups, 0) and mean_over_groups(groups, 0, 300, 0) == mean_over_groups(alone, 0, 300, 0)
    more = planted(groups=5)
    assert not too_few(more, 0)
    more.values[more.codes == 4, 0] = np.nan
    assert too_few(more, 0)


def test_few_groups_and_constant_numbers_are_compared_with_nothing() -> None:
    assert agreement(planted(groups=4), (0, 1), weighted_spearman, DRAWS, 0) is None
    groups = planted()
    constant = GroupMeans(
        np.stack([groups.values[:, 0], np.ones(len(groups.codes))], axis=1), groups.codes, groups.units
    )
    assert agreement(constant, (0, 1), weighted_spearman, DRAWS, 0) is None


def test_what_groups_explain_is_the_adjusted_eta_squared_beside_permuted_values() -> None:
    groups = planted()
    found = explained(groups, 0, DRAWS[1], 0)
    assert found is not None
    assert found.value == pytest.approx(float(adjusted_eta2(groups.values[:, :1], groups.codes)[0]))
    assert abs(found.null.mean()) < 0.05 and found.low > 0.5
    assert columns_of(found, above=True)["p"] == pytest.approx(1 / 200)
    nothing = [explained(planted(seed=seed, between=0), 0, DRAWS[1], 0) for seed in range(20)]
    assert sum(one is not None and columns_of(one, above=True)["p"] <= 0.05 for one in nothing) <= 3


def test_the_interval_of_what_groups_explain_holds_the_truth_as_often_as_it_says() -> None:
    size, each = 12, 5
    for between in (0.0, 0.3):
        truth = between**2 / (between**2 + 0.09 * (size * each - 1) / (each * (size - 1)))
        found = [explained(planted(size, each, seed, between), 0, 1, 0) for seed in range(200)]
        ends = [(one.low, one.high) for one in found if one is not None]
        assert sum(low <= truth <= high for low, high in ends) >= 180
        assert sum(high < truth for _, high in ends) <= 12 and sum(low > truth for low, _ in ends) <= 12


def test_one_group_explains_nothing_and_few_have_no_interval() -> None:
    groups = planted(groups=3)
    one = GroupMeans(groups.values, np.zeros_like(groups.codes), groups.units)
    assert explained(one, 0, DRAWS[1], 0) is None
    few = explained(groups, 0, DRAWS[1], 0)
    assert few is not None and np.isnan(few.low) and columns_of(few)["low"] is None


def test_groups_are_numbered_by_name() -> None:
    found = GroupMeans.of(np.array([[1.0], [2.0], [4.0]]), ["pilot", "baker", "pilot"], np.arange(3))
    assert found.means[:, 0].tolist() == [2.0, 2.5] and found.count == 2
