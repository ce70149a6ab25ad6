import math

import numpy as np
import pytest
from scipy import stats

from core.stats.intervals import wilson
from core.stats.permuted import rank_p, sign_flip_p


def test_rank_p_counts_draws_as_far_on_either_side() -> None:
    draws = np.array([-2.0, -1, 0, 1, 2])
    assert rank_p(1.0, draws) == pytest.approx(5 / 6)
    assert rank_p(2.0, draws) == rank_p(-2.0, draws) == pytest.approx(3 / 6)
    assert rank_p(5.0, draws) == pytest.approx(1 / 6)
    assert rank_p(0.0, np.zeros(99)) == 1


def test_sign_flips_give_the_sign_test_where_all_differences_are_equal() -> None:
    found = sign_flip_p(np.array([1.0] * 8 + [-1.0]), 20_000, 0)
    assert found == pytest.approx(stats.binomtest(8, 9).pvalue, abs=0.01)


def test_differences_of_one_unit_are_flipped_together() -> None:
    twins = np.repeat([1.0, 1, 1, 1], 2)
    assert sign_flip_p(twins, 20_000, 0, np.arange(8) // 2) == pytest.approx(2 / 16, abs=0.01)
    assert sign_flip_p(twins, 20_000, 0) == pytest.approx(2 / 256, abs=0.005)


def test_no_p_is_below_its_resolution_and_what_is_missing_is_left_out() -> None:
    assert sign_flip_p(np.ones(40), 99, 0) == pytest.approx(0.01)
    assert sign_flip_p(np.array([math.nan, 0.0, 0.0]), 99, 0) == 1
    assert math.isnan(sign_flip_p(np.array([math.nan]), 99, 0))


def test_a_rate_of_none_or_all_has_an_end_that_is_exact() -> None:
    for trials in (9, 18, 24):
        assert wilson(0, trials).low == 0
        assert wilson(trials, trials).high == 1
    assert wilson(1.5, 3).mean == 0.5
