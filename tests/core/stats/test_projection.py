"""A direction and the components beside it, against scikit-learn's PCA."""

import numpy as np
from sklearn.decomposition import PCA

from core.stats.projection import axes_beside, random_directions

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 6)) * [5, 3, 2, 1, 1, 1] + 4
DIRECTION = np.array([1.0, 1.0, 0, 0, 0, 2.0])


def test_components_are_those_of_what_is_orthogonal_to_the_direction() -> None:
    axes = axes_beside(X, DIRECTION)
    np.testing.assert_allclose(axes.directions @ axes.directions.T, np.eye(3), atol=1e-12)
    unit = DIRECTION / np.linalg.norm(DIRECTION)
    np.testing.assert_allclose(axes.directions[0], unit)
    reference = PCA(2).fit(X - np.outer(X @ unit, unit))
    np.testing.assert_allclose(np.abs(np.sum(axes.directions[1:] * reference.components_, axis=1)), 1)
    whole = X.var(axis=0).sum()
    np.testing.assert_allclose(
        axes.shares, [(X @ unit).var() / whole, *reference.explained_variance_ * 79 / 80 / whole]
    )


def test_values_are_placed_in_standard_deviations_around_their_mean() -> None:
    placed = axes_beside(X, DIRECTION).place(X)
    np.testing.assert_allclose(placed.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(placed.std(axis=0), 1)


def test_fewer_dimensions_than_axes_leave_zeros() -> None:
    axes = axes_beside(X[:, :2], np.array([1.0, 0.0]))
    assert not axes.directions[2].any() and not axes.place(X[:, :2])[:, 2].any()


def test_random_directions_have_the_covariance_of_the_values() -> None:
    drawn = random_directions(X, 20_000, 0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(X.T, bias=True), atol=0.6)
