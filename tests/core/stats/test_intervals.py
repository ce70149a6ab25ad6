"""Intervals against independent references."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from core.stats.intervals import (
    Interval,
    auroc,
    bootstrap_auroc,
    bootstrap_mean,
    bootstrap_spearman,
    permutation_p,
    wilson,
)


def test_wilson_equals_scipy():
    for successes, trials in [(0, 7), (7, 7), (3, 40), (1, 2)]:
        reference = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        assert wilson(successes, trials) == pytest.approx(
            (reference.low, successes / trials, reference.high), abs=1e-12
        )


def test_nothing_measured_gives_nan():
    assert all(math.isnan(end) for end in wilson(0, 0))
    assert all(math.isnan(end) for end in bootstrap_mean(np.array([]), 100, 0))
    assert all(math.isnan(end) for end in bootstrap_auroc(np.arange(4.0), np.ones(4, int), 100, 0))


def test_bootstrap_of_the_mean_matches_the_normal_interval_and_its_own_rerun():
    values = np.random.default_rng(1).normal(3, 2, size=400)
    interval = bootstrap_mean(values, 2000, seed=5)
    assert interval == bootstrap_mean(values, 2000, seed=5)
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean(), values.mean() + half), abs=0.03)


def test_values_that_are_not_finite_are_left_out():
    assert bootstrap_mean(np.array([1.0, np.nan, 3.0]), 50, 0).mean == 2


def test_auroc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(2)
    scores, labels = rng.integers(0, 5, 60).astype(float), rng.integers(0, 2, 60)
    reference = roc_auc_score(labels, scores)
    assert auroc(scores, labels) == pytest.approx(reference)
    interval = bootstrap_auroc(scores, labels, 500, 0)
    assert interval.mean == pytest.approx(reference)
    draws = []
    for _ in range(500):
        chosen = rng.integers(0, 60, 60)
        draws.append(roc_auc_score(labels[chosen], scores[chosen]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.03)


def test_a_permutation_p_is_never_zero():
    assert permutation_p(5, [1, 2, 3]) == 1 / 4
    assert permutation_p(2, [1, 2, 3]) == 3 / 4
    assert permutation_p(float("nan"), [1, 2, 3]) == 1


def test_an_interval_reads_as_a_sentence_part():
    assert str(Interval(0.25, 0.5, 0.75)) == "0.500 [0.250, 0.750]"


def test_rank_correlation_equals_scipys_with_ties():
    rng = np.random.default_rng(4)
    x = rng.integers(0, 9, 34).astype(float)
    y = x + rng.normal(0, 4, 34).round()
    found = bootstrap_spearman(x, y, 500, 0)
    assert found.mean == pytest.approx(stats.spearmanr(x, y).statistic)
    draws = [stats.spearmanr(x[chosen], y[chosen]).statistic for chosen in rng.integers(34, size=(500, 34))]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.05)
    assert math.isnan(bootstrap_spearman(x, np.ones(34), 10, 0).mean)


def test_the_interval_over_units_covers_as_often_as_it_says_where_twins_share_their_value() -> None:
    rng = np.random.default_rng(1)
    covered = {"units": 0, "values": 0}
    twins = np.repeat(np.arange(30), 2)
    for seed in range(300):
        shared = np.repeat(rng.normal(size=30), 2) + 0.1 * rng.normal(size=60)
        for name, units in (("units", twins), ("values", None)):
            found = bootstrap_mean(shared, 400, seed, units)
            covered[name] += found.low <= 0 <= found.high
    assert covered["units"] >= 0.91 * 300
    assert covered["values"] < 0.88 * 300


def test_units_of_one_value_each_change_nothing() -> None:
    values, positive = np.random.default_rng(0).normal(size=20), np.arange(20) % 2
    order = np.arange(20)
    assert bootstrap_mean(values, 100, 0, order) == bootstrap_mean(values, 100, 0)
    assert bootstrap_auroc(values, positive, 100, 0, order) == bootstrap_auroc(values, positive, 100, 0)
