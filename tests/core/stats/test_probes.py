"""Probes on planted directions, against scikit-learn and against nothing."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from core.stats.groups_out import groups_out
from core.stats.probes import (
    Labelled,
    Reduced,
    control_accuracy,
    difference_of_means,
    discriminant,
    logistic,
    logistic_at,
    reduce,
    sparse_probe,
)


def planted(n: int, dims: int, seed: int, strength: float = 2.0) -> Labelled:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2 == 0
    x = rng.normal(5, 1, (n, dims)) * np.linspace(1, 2, dims)
    x[:, 3] += strength * np.where(y, 1, -1) * np.linspace(1, 2, dims)[3]
    return Labelled(x, y, groups=np.arange(n) // 2 % 6, words=np.arange(n) // 2 % 8)


@pytest.mark.parametrize("dims", [12, 150])
def test_every_method_finds_a_planted_direction_on_unseen_images(dims: int):
    train, test = planted(100, dims, 0), planted(80, dims, 1)
    for probe in (difference_of_means(train), discriminant(train), logistic(train, 0)):
        assert roc_auc_score(test.y, probe.score(test.x)) > 0.7
        assert probe.accuracy(test) > 0.6
        assert int(np.argmax(np.abs(probe.direction * train.x.std(axis=0)))) == 3


@pytest.mark.parametrize("dims", [12, 150])
def test_logistic_equals_scikit_learn_on_standardised_dimensions(dims: int):
    train = planted(100, dims, 0)
    scaled = (train.x - train.x.mean(axis=0)) / train.x.std(axis=0)
    reference = LogisticRegression(C=0.01, max_iter=1000, tol=1e-8).fit(scaled, train.y)
    ours = logistic_at(train, 0.01).score(train.x)
    assert ours == pytest.approx(reference.decision_function(scaled), abs=2e-3)


@pytest.mark.parametrize("density", [1, 0.02])
def test_the_row_space_by_products_gives_the_scores_of_a_singular_value_decomposition(density: float):
    """With a twin, a near twin and sparse columns, to 1e-8 of the largest score."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(80, 700))) * (rng.random((80, 700)) < density)
    x[1], x[3] = x[0], x[2] * (1 + 1e-5)
    train = Labelled(x, rng.random(80) < 0.5)
    spread = x.std(axis=0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    scaled = (x - x.mean(axis=0)) * scale
    rows = np.linalg.svd(scaled, full_matrices=False)[2]
    reference = Reduced(scaled @ rows.T, scale[:, None] * rows.T)
    for strength in (1e-3, 1e-2, 1e-1):
        own, other = (logistic_at(train, strength, reduced).score(x) for reduced in (reduce(x), reference))
        assert np.abs(own - other).max() < 1e-8 * np.abs(other).max()


def test_units_without_variance_have_no_direction():
    probe = logistic_at(Labelled(np.ones((6, 9)), np.arange(6) < 3), 1.0)
    assert not probe.direction.any()


def test_nothing_is_found_where_nothing_is():
    train, test = planted(200, 10, 0, strength=0), planted(200, 10, 1, strength=0)
    assert abs(roc_auc_score(test.y, logistic(train, 0).score(test.x)) - 0.5) < 0.12


def test_control_task_is_learned_by_memorising_words_and_undefined_with_one_word():
    train, test = planted(100, 10, 0), planted(100, 10, 1)
    for units in (train, test):
        units.x[:, 0] += 100 * (np.isin(units.words, np.flatnonzero(np.random.default_rng(4).random(8) < 0.5)))
    assert control_accuracy(train, test, 1.0, seed=4) > 0.9
    same = Labelled(train.x, train.y, words=np.zeros(100, int))
    assert math.isnan(control_accuracy(same, same, 1.0, seed=4))


def test_leaving_professions_out_sees_through_a_probe_that_knows_only_professions():
    rng = np.random.default_rng(0)
    groups = np.arange(240) // 2 % 12
    y = (groups % 2 == 0) ^ (rng.random(240) < 0.1)  # each profession has a gender; nothing else does
    x = np.eye(12)[groups] + 0.01 * rng.normal(size=(240, 12))
    half = np.arange(240) < 120
    train, test = Labelled(x[half], y[half], groups[half]), Labelled(x[~half], y[~half], groups[~half])
    assert roc_auc_score(test.y, logistic_at(train, 1.0).score(test.x)) > 0.85
    assert groups_out(train, test, 1.0).area < 0.65
    assert groups_out(Labelled(x, y), Labelled(x, y), 1.0) is None


def test_a_sparse_probe_chooses_the_planted_feature_first():
    chosen, probe = sparse_probe(planted(100, 30, 0), 2)
    assert chosen[0] == 3 and len(chosen) == 2
    test = planted(80, 30, 1)
    assert roc_auc_score(test.y, probe.score(test.x[:, chosen])) > 0.9
