"""The second look's measures equal scipy's and scikit-learn's, and say what they are for."""

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from core.concepts.measures import SPEARMAN
from core.concepts.scores import Measured, score_features
from core.concepts.second_look import isotonic_r2, kendall, partial_spearman, stability
from tests.core.concepts.planted_sentences import FALLS, RISES, labelled, scan, sparse_values

ROWS = 60


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, ROWS)


def test_kendall_is_tau_b(labels: np.ndarray) -> None:
    values = sparse_values(np.random.default_rng(0), ROWS, 12, 6)
    expected = [stats.kendalltau(column, labels, variant="b").statistic for column in values.T]
    np.testing.assert_allclose(kendall(values, labels), expected)


def test_partial_spearman_is_the_correlation_of_the_ranks_residuals(labels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    values, length = sparse_values(rng, ROWS, 12, 6), rng.normal(size=ROWS) + labels
    ranks = stats.rankdata(length)
    design = np.column_stack([np.ones(ROWS), ranks])

    def residual(part: np.ndarray) -> np.ndarray:
        own = stats.rankdata(part)
        return own - design @ np.linalg.lstsq(design, own, rcond=None)[0]

    expected = [np.corrcoef(residual(column), residual(labels))[0, 1] for column in values.T]
    np.testing.assert_allclose(partial_spearman(values, labels, length), expected, atol=1e-9)
    constant = partial_spearman(values, labels, np.zeros(ROWS))
    np.testing.assert_allclose(constant, [stats.spearmanr(column, labels).statistic for column in values.T])


def test_a_feature_that_follows_length_alone_has_a_partial_correlation_near_zero() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    length = rng.normal(size=400) + 0.8 * labels
    values = np.maximum(0, length + 0.3 * rng.normal(size=400))[:, None]
    assert stats.spearmanr(values[:, 0], labels).statistic > 0.5
    assert abs(partial_spearman(values, labels, length)[0]) < 0.1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_isotonic_r2_is_that_of_isotonic_regression(labels: np.ndarray, sign: float) -> None:
    values = np.random.default_rng(0).normal(size=(ROWS, 20)) + np.outer(labels % 3, np.linspace(-1, 1, 20))
    found = isotonic_r2(values, labels, np.full(20, sign))
    for column, own in zip(values.T, found, strict=True):
        fitted = IsotonicRegression(increasing=sign > 0).fit_transform(labels, column)
        assert own == pytest.approx(1 - ((column - fitted) ** 2).sum() / ((column - column.mean()) ** 2).sum())


def test_isotonic_r2_without_a_label_and_without_variance() -> None:
    labels = np.array([0, 0, 3, 3])
    values = np.array([[1.0, 5], [1, 5], [2, 5], [2, 5]])
    found = isotonic_r2(values, labels, np.ones(2))
    assert found[0] == pytest.approx(1) and np.isnan(found[1])


def test_planted_features_stay_among_the_best_and_others_do_not() -> None:
    sentences = scan(0, planted=True)[0].selection
    scores = score_features(sentences, 5)
    measured = scores.measured["spearman"]
    chosen = np.argsort(-np.abs(measured.effects()))[:6]
    found = stability(measured, chosen, sentences.families, 100, 0)
    planted = [number for number, own in enumerate(scores.tested[chosen]) if own in (300 + RISES, 300 + FALLS)]
    assert sorted(planted) == [0, 1]
    assert (found.stays[:2] == 1).all()
    assert found.stays[2:].max() < 0.9
    assert (found.low <= measured.effects()[chosen]).all() and (measured.effects()[chosen] <= found.high).all()


def test_features_that_could_not_fail_to_be_chosen_have_no_stability() -> None:
    """All of them are among the best of all in every resample, whatever they say of the label."""
    rng = np.random.default_rng(0)
    part = labelled(sparse_values(rng, 40, 4, 3), rng.integers(0, 4, 40))
    found = stability(Measured.of(SPEARMAN, part), np.arange(4), part.families, 50, 0)
    assert np.isnan(found.stays).all() and np.isfinite(found.low).all()


def test_resamples_draw_whole_families() -> None:
    rng = np.random.default_rng(0)
    single = sparse_values(rng, 40, 4, 3)
    labels = rng.integers(0, 4, 40)
    once = labelled(single, labels)
    thrice = labelled(np.repeat(single, 3, axis=0), np.repeat(labels, 3), families=np.repeat(np.arange(40), 3))
    ends = [stability(Measured.of(SPEARMAN, part), np.arange(4), part.families, 300, 0).low for part in (once, thrice)]
    np.testing.assert_allclose(ends[0], ends[1])


def test_one_family_has_no_interval() -> None:
    part = labelled(np.arange(8.0)[:, None], np.arange(8) % 4, families=np.zeros(8))
    assert np.isnan(stability(Measured.of(SPEARMAN, part), np.array([0]), part.families, 20, 0).low).all()
