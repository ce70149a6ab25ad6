"""Two probes on the same rows: the area, its difference, and a null in which the two are exchangeable."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.stats.scored import Scored, excess


def scored(signal: float, seed: int, units: int = 40, classes: int = 1) -> Scored:
    rng = np.random.default_rng(seed)
    truth = np.stack([np.arange(2 * units) % (2 if classes == 1 else classes) == c for c in range(classes)], axis=1)
    scores = rng.normal(size=truth.shape) + signal * truth
    return Scored(scores, truth, np.repeat(np.arange(units), 2))


@pytest.mark.parametrize("classes", [1, 3])
def test_the_area_is_sklearns_mean_over_classes(classes: int) -> None:
    one = scored(1.0, 0, classes=classes)
    expected = np.mean([roc_auc_score(y, s) for s, y in zip(one.scores.T, one.truth.T)])
    assert one.area == pytest.approx(expected)
    assert abs(one.area_draws(400, 0).mean() - expected) < 0.02


def test_the_excess_is_the_difference_of_the_areas_and_has_a_null_at_zero() -> None:
    better, worse = scored(2.0, 0), scored(0.3, 1)
    found = excess(better, worse, 400, 0)
    assert found.value == pytest.approx(better.area - worse.area)
    assert found.low < found.value < found.high and found.low > 0
    assert abs(found.null) < 0.02 and found.null_high < found.value and found.p <= 0.01
    same = excess(better, better, 100, 0)
    assert same.value == 0 and same.p == 1


def test_probes_that_are_equally_good_are_seldom_told_apart() -> None:
    p = [excess(scored(1.0, 2 * n), scored(1.0, 2 * n + 1), 99, n).p for n in range(60)]
    assert sum(one <= 0.05 for one in p) <= 8
    assert sum(one <= 0.5 for one in p) >= 15  # and the p are not large for nothing
