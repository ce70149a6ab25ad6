"""Regression with clustered errors, against scikit-learn refitted without each cluster."""

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.linear_model import LinearRegression

from core.stats.clustered import Dealt, crossed, dealt, inflation, regress, two_way

RANDOM = np.random.default_rng(0)
N = 90
FORM, REFERENT = RANDOM.random(N) < 0.4, RANDOM.random(N) < 0.6
WORDS, IMAGES = RANDOM.integers(0, 9, N), np.arange(N) // 3
X = crossed(FORM, REFERENT)
Y = RANDOM.normal(size=(N, 5)) + 2 * FORM[:, None] * np.arange(5) + RANDOM.normal(size=9)[WORDS][:, None]


def refitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients [K, F] by another's least squares."""
    fitted = LinearRegression().fit(x[:, 1:], y)
    return np.vstack([fitted.intercept_, fitted.coef_.T])


def test_coefficients_errors_and_extremes_equal_those_of_refits_without_each_cluster() -> None:
    found = regress(X, sparse.csr_array(Y), WORDS)
    whole = refitted(X, Y)
    without = np.stack([refitted(X[word != WORDS], Y[word != WORDS]) for word in range(9)])
    errors = np.sqrt(8 / 9 * np.square(without - whole).sum(axis=0))
    for own, expected in (
        (found.coefficients, whole),
        (found.errors, errors),
        (found.least, without.min(axis=0)),
        (found.most, without.max(axis=0)),
        (found.p, 2 * stats.t.sf(np.abs(whole / errors), 8)),
    ):
        np.testing.assert_allclose(own, expected, rtol=1e-8)
    low, high = found.interval()
    np.testing.assert_allclose(high - low, 2 * stats.t.ppf(0.975, 8) * errors)


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = regress(X, Y, WORDS)
    monkeypatch.setattr("core.stats.clustered._HELD", 2 * 9 * 4)
    np.testing.assert_allclose(regress(X, Y, WORDS).errors, whole.errors)


def test_effects_of_a_crossed_design_are_differences_between_its_cells() -> None:
    values = {(f, r): Y[(f == FORM) & (r == REFERENT)].mean(axis=0) for f in (True, False) for r in (True, False)}
    beside_her, beside_him = (values[True, r] - values[False, r] for r in (True, False))
    found = regress(X, Y, WORDS).coefficients
    np.testing.assert_allclose(found[1], (beside_her + beside_him) / 2)
    np.testing.assert_allclose(found[3], beside_her - beside_him)


def test_an_effect_that_rests_on_one_cluster_has_no_error() -> None:
    form = WORDS == 0
    found = regress(crossed(form, REFERENT), Y, WORDS)
    assert np.isnan(found.errors).all() and np.isnan(found.p).all() and np.isfinite(found.coefficients).all()


def test_two_way_variances_are_those_of_both_clusterings_less_that_of_their_intersection() -> None:
    pairs = WORDS * N + IMAGES
    whole = refitted(X, Y)
    parts = []
    for clusters in (WORDS, IMAGES, pairs):
        names = np.unique(clusters)
        without = np.stack([refitted(X[one != clusters], Y[one != clusters]) for one in names])
        parts.append((len(names) - 1) / len(names) * np.square(without - whole).sum(axis=0))
    expected = np.sqrt(np.maximum(np.maximum(parts[0], parts[1]), parts[0] + parts[1] - parts[2]))
    found = two_way(X, Y, WORDS, IMAGES)
    np.testing.assert_allclose(found.errors, expected, rtol=1e-8)
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(np.abs(whole / expected), 8))
    alone = regress(X, Y, WORDS)
    assert (found.errors >= alone.errors).all() and (found.least == alone.least).all()


def test_two_way_errors_hold_where_words_and_images_both_vary() -> None:
    """On 12 words in each of 12 images, half of the variance of a mean is the words', half the images'."""
    rng, (words, images) = np.random.default_rng(1), (part.ravel() for part in np.indices((12, 12)))
    y = rng.normal(size=(12, 400))[words] + rng.normal(size=(12, 400))[images] + rng.normal(size=(144, 400))
    found = two_way(np.ones((144, 1)), y, words, images)
    true = 2 / 12 + 1 / 144
    assert np.square(found.errors).mean() == pytest.approx(true, rel=0.1)
    assert np.square(regress(np.ones((144, 1)), y, words).errors).mean() < 0.6 * true
    covered = [low <= 0 <= high for low, high in zip(*(ends[0] for ends in found.interval()))]
    assert np.mean(covered) > 0.92


def test_two_way_errors_are_unknown_where_an_effect_rests_on_one_cluster() -> None:
    found = two_way(crossed(WORDS == 0, REFERENT), Y, WORDS, IMAGES)
    assert np.isnan(found.errors).all() and np.isnan(found.p).all()


def test_inflation_is_one_over_what_the_other_terms_leave() -> None:
    expected = [
        1 / (1 - LinearRegression().fit(others := np.delete(X, t, 1)[:, 1:], X[:, t]).score(others, X[:, t]))
        for t in (1, 2, 3)
    ]
    np.testing.assert_allclose(inflation(X)[1:], expected)
    assert np.isinf(inflation(crossed(FORM, FORM))[1:]).all()


def test_dealt_labels_keep_their_numbers_and_twins_stay_apart() -> None:
    clusters, labels = np.repeat(np.arange(8), 3), np.repeat([True] * 3 + [False] * 5, 3)
    drawn = dealt(labels, clusters, 50, 0)
    assert (drawn.sum(axis=1) == 9).all() and len(np.unique(drawn, axis=0)) > 10
    assert all(len(np.unique(row[clusters == one])) == 1 for row in drawn for one in range(8))
    twins = dealt(np.tile([True, False], 6), np.arange(12) // 2, 50, 0)
    assert (twins.reshape(50, 6, 2).sum(axis=2) == 1).all() and 0.3 < twins[:, 0].mean() < 0.7


def test_coefficients_of_dealt_labels_equal_those_of_their_designs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.stats.clustered._DEALS", 4)
    labels = dealt(FORM, IMAGES, 6, 0)
    found = Dealt(labels, np.column_stack([np.ones(N), REFERENT - 0.5])).coefficients(Y[:, 0])
    expected = [refitted(crossed(form, REFERENT), Y[:, :1])[1, 0] for form in labels]
    np.testing.assert_allclose(found, expected)
    alone = Dealt(labels, np.ones((N, 1))).coefficients(Y[:, 0])
    np.testing.assert_allclose(alone, [Y[form, 0].mean() - Y[~form, 0].mean() for form in labels])
    assert Dealt(FORM[None], np.column_stack([np.ones(N), FORM - 0.5])).coefficients(Y[:, 0]).size == 0
