"""Partial rank correlations against scipy, regression, and planted worlds."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from core.stats.partial_ranks import PartialRanks
from core.stats.ranks import rank

NONE = np.zeros((0, 120), dtype=np.int64)


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A label, two covariates that it follows, and three features: noise, of the first covariate, of the label."""
    random = np.random.default_rng(seed)
    label = (random.random(120) < 0.5).astype(float)
    covariates = np.stack([random.poisson(8 + 4 * label), random.normal(size=120)], axis=1)
    noise = random.normal(size=(120, 3))
    return label, covariates, noise + np.stack([0 * label, covariates[:, 0], 2 * label], axis=1).round(1)


def test_one_covariate_has_the_formula_of_three_rank_correlations():
    label, covariates, features = world()
    found = PartialRanks(label, covariates[:, :1]).with_orders(rank(features), NONE)[:, 0]
    for feature, own in zip(features.T, found, strict=True):
        xy, xz, yz = (
            stats.spearmanr(*pair).statistic
            for pair in ((feature, label), (feature, covariates[:, 0]), (label, covariates[:, 0]))
        )
        assert own == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)), abs=1e-10)


def test_several_covariates_are_those_of_a_regression_and_p_is_that_of_its_coefficient():
    label, covariates, features = world(1)
    test = PartialRanks(label, covariates)
    found = test.with_orders(rank(features), NONE)[:, 0]
    z, y = stats.rankdata(covariates, axis=0), stats.rankdata(label)
    for feature, own, p in zip(features.T, found, test.p(found), strict=True):
        x = stats.rankdata(feature)
        left = [values - LinearRegression().fit(z, values).predict(z) for values in (x, y)]
        assert own == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-10)
        design = np.column_stack([np.ones(120), z, y])
        coefficients, rest = np.linalg.lstsq(design, x, rcond=None)[:2]
        error = np.sqrt(rest[0] / 116 * np.linalg.inv(design.T @ design)[3, 3])
        assert p == pytest.approx(2 * stats.t.sf(abs(coefficients[3] / error), 116), rel=1e-8)


def test_the_logarithm_of_a_covariate_is_the_same_covariate():
    label, covariates, features = world(2)
    length = covariates[:, :1] + 1.0
    found = [PartialRanks(label, z).with_orders(rank(features), NONE) for z in (length, np.log(length))]
    np.testing.assert_allclose(*found, atol=1e-12)


def test_a_constant_covariate_changes_nothing_and_one_that_tells_the_label_leaves_nothing():
    label, _, features = world(3)
    plain = PartialRanks(label, np.ones((120, 1))).with_orders(rank(features), NONE)[:, 0]
    expected = [stats.spearmanr(feature, label).statistic for feature in features.T]
    np.testing.assert_allclose(plain, expected, atol=1e-10)
    all_told = PartialRanks(label, label[:, None] * 3)
    found = all_told.with_orders(rank(features), NONE)[:, 0]
    assert (found == 0).all() and (all_told.p(found) == 1).all()


def test_orders_are_what_the_label_is_worth_by_chance():
    label, covariates, features = world(4)
    random = np.random.default_rng(0)
    orders = np.stack([random.permutation(120) for _ in range(800)])
    test = PartialRanks(label, covariates[:, :1])
    found = test.with_orders(rank(features), orders)
    own, null = found[:, 0], found[:, 1:]
    assert abs(null.mean()) < 0.01
    by_orders = (1 + (np.abs(null) >= np.abs(own)[:, None]).sum(axis=1)) / 801
    np.testing.assert_allclose(by_orders, test.p(own), atol=0.04)
