"""Labels are exchanged as the families allow, and tests with families are calibrated."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from core.concepts.designs import Design
from core.concepts.permuted import best_of
from core.concepts.scores import score_features
from tests.core.concepts.planted_sentences import labelled, sparse_values

FAMILIES = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
"""Families 0, 1, 2 have one label each, family 3 has three."""
LABELS = np.array([3, 3, 0, 0, 1, 1, 0, 2, 3])


def test_families_of_one_label_move_as_wholes_and_others_within() -> None:
    moved = Design.of(FAMILIES, LABELS).permuted(LABELS, 500, 0)
    for column in moved.T:
        wholes = [set(column[family == FAMILIES]) for family in range(3)]
        assert all(len(own) == 1 for own in wholes)
        assert set.union(*wholes) == {0, 1, 3}
        assert sorted(column[FAMILIES == 3]) == [0, 2, 3]
    assert len({tuple(column) for column in moved.T}) == 36


def test_sentences_without_families_are_exchanged_freely() -> None:
    labels = np.array([0, 1, 2, 3])
    moved = Design.of(np.arange(4), labels).permuted(labels, 2000, 0)
    assert len({tuple(column) for column in moved.T}) == 24


def test_moments_are_those_of_all_exchanges() -> None:
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 5, (9, 6)).astype(np.float64)
    target = LABELS - LABELS.mean()
    every = []
    for wholes in itertools.permutations([3, 0, 1]):
        for inside in itertools.permutations([0, 2, 3]):
            labels = np.concatenate([np.repeat(wholes, 2), inside])
            every.append(ranks.T @ (labels - LABELS.mean()))
    found = Design.of(FAMILIES, LABELS).moments(sparse.csc_array(ranks), target)
    np.testing.assert_allclose(found.mean, np.mean(every, axis=0))
    np.testing.assert_allclose(found.variance, np.var(every, axis=0))
    np.testing.assert_allclose(found.third, np.mean((every - np.mean(every, axis=0)) ** 3, axis=0), atol=1e-9)


def test_of_a_single_family_with_one_label_nothing_moves() -> None:
    labels = np.array([2, 2, 2])
    design = Design.of(np.zeros(3), labels)
    assert (design.permuted(labels, 5, 0) == 2).all()
    found = design.moments(sparse.csc_array(np.eye(3)), np.array([1.0, 2, 3]))
    assert found.mean.tolist() == [1, 2, 3] and not found.variance.any() and not found.third.any()


def duplicated(seed: int, size: int, twins: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations shared within families, labels by family or (twins) two labels in each."""
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(80), size)
    values = sparse_values(rng, 80, 40, 10)[families] + (rng.random((80 * size, 40)) < 0.1)
    labels = rng.permutation(np.arange(80) % 4)[families]
    if twins:
        labels = np.concatenate([rng.permutation([0, 3, 1][:size]) for _ in range(80)])
    return values, labels, families


@pytest.mark.parametrize("size, twins", [(1, False), (3, False), (2, True)])
def test_p_values_are_calibrated_with_families(size: int, twins: bool) -> None:
    found: dict[str, list[np.ndarray]] = {"spearman": [], "auroc_3_0": []}
    for seed in range(40):
        values, labels, families = duplicated(seed, size, twins)
        scores = score_features(labelled(values, labels, families=families), 20)
        for name, every in found.items():
            every.append(scores.measured[name].p_values())
    for every in found.values():
        assert 0.02 < np.mean(np.concatenate(every) <= 0.05) < 0.065


def test_without_families_duplicates_would_pass_as_evidence() -> None:
    rejected = []
    for seed in range(30):
        values, labels, _ = duplicated(seed, 3, False)
        rejected.append(score_features(labelled(values, labels), 20).measured["spearman"].p_values() <= 0.05)
    assert np.mean(rejected) > 0.12


@pytest.mark.parametrize("size", [1, 3])
def test_the_best_of_all_is_significant_as_often_as_it_should_be_where_labels_say_nothing(size: int) -> None:
    found = []
    for seed in range(60):
        values, labels, families = duplicated(seed, size, False)
        scores = score_features(labelled(values, labels, families=families), 5)
        found.append(best_of(scores.measured["spearman"], 200, seed).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.1
    assert 0.38 < np.mean(found) < 0.62
