import math

import numpy as np
import pytest

from core.stats.correlation import bootstrap_correlation


def test_it_is_pearsons_correlation_with_an_interval_over_units() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(50), 10)
    x = rng.normal(size=500) + rng.normal(size=50)[units] + 1e6
    y = x + rng.normal(size=500)
    found = bootstrap_correlation(x, y, 500, 0, units)
    alone = bootstrap_correlation(x, y, 500, 0, np.arange(500))
    assert found.mean == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert found.low < found.mean < found.high
    assert found.high - found.low > alone.high - alone.low  # values of one unit go together


def test_what_is_constant_has_none_and_one_unit_no_interval() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    assert math.isnan(bootstrap_correlation(x, np.ones(3), 50, 0, np.arange(3)).mean)
    one = bootstrap_correlation(x, y, 50, 0, np.zeros(3, dtype=int))
    assert one.mean == pytest.approx(0.5) and math.isnan(one.low) and math.isnan(one.high)
    few = bootstrap_correlation(x, y, 50, 0, np.arange(3))
    assert -1 <= few.low <= few.mean <= few.high <= 1
