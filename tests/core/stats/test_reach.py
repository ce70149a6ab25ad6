"""A family's smallest q beside scipy's correction, when one, two or all of its tests are as small as can be."""

import numpy as np
import pytest
from scipy import stats

from core.stats.permuted import least_sign_flip_p, sign_flip_p
from core.stats.reach import out_of_reach


@pytest.mark.parametrize(("draws", "tests", "needed"), [(119, 6, 1), (39, 6, 3), (39, 2, 1), (38, 2, 2), (19, 6, 6)])
def test_so_many_tests_at_the_least_p_are_what_is_needed(draws: int, tests: int, needed: int) -> None:
    least = 1 / (draws + 1)
    small = [
        stats.false_discovery_control(np.r_[np.full(count, least), np.ones(tests - count)]).min() <= 0.05 + 1e-12
        for count in range(1, tests + 1)
    ]
    assert small.index(True) + 1 == needed
    told = out_of_reach(least, tests)
    assert told == () if needed == 1 else f"needs {needed} of the {tests} tests" in told[0]


def test_a_p_above_5_percent_passes_in_no_family() -> None:
    assert "none of the 3 tests" in out_of_reach(1 / 19, 3)[0]


def test_the_least_p_of_signs_is_that_of_values_that_agree() -> None:
    assert least_sign_flip_p(9, 100) == sign_flip_p(np.ones(9), 100, 0)
    assert least_sign_flip_p(40, 100) == sign_flip_p(np.ones(40), 100, 0)
