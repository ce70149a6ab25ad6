"""Sparse scores equal those of scipy and scikit-learn on the dense columns."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from core.concepts.full_sentences import HELD_OUT, LABELS
from core.concepts.measures import CLEAN, MEASURES, RELATED, Auroc
from core.concepts.scores import MEANS, RANKING, class_means, inversions, score_features
from core.concepts.sparse_ranks import SortedColumns
from core.stats.families import corrected
from core.stats.ranks import rank, rank_test
from tests.core.concepts.planted_sentences import FALLS, RISES, labelled, scan, sparse_values

ROWS, WIDTH = 60, 80


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Ties, empty columns, a column without zeros, a constant one, and one with negative entries."""
    rng = np.random.default_rng(0)
    found = sparse_values(rng, ROWS, WIDTH, 8)
    found[:, -1] = rng.integers(1, 4, ROWS)
    found[:, -2] = 2
    found[:, -3] = rng.integers(-2, 3, ROWS)
    assert (found == 0).all(axis=0).any()
    return found


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, ROWS)


def test_shifted_ranks_are_average_ranks_less_that_of_the_zeros(values: np.ndarray) -> None:
    columns = SortedColumns.of(sparse.csc_array(values))
    shifted = columns.matrix(columns.ranks(np.ones(ROWS, np.int64))).toarray()
    ranks = stats.rankdata(values, axis=0)
    for feature in range(WIDTH):
        zero = values[:, feature] == 0
        assert not shifted[zero, feature].any()
        assert np.ptp(ranks[~zero, feature] - shifted[~zero, feature]) < 1e-9 if (~zero).any() else True
        if zero.any():
            np.testing.assert_allclose(shifted[:, feature], ranks[:, feature] - ranks[zero, feature][0])


def test_ranks_with_weights_are_those_of_rows_written_out_as_often(values: np.ndarray, labels: np.ndarray) -> None:
    weights = np.random.default_rng(2).multinomial(ROWS, np.full(ROWS, 1 / ROWS))
    written = np.repeat(np.arange(ROWS), weights)
    every = score_features(labelled(values, labels), 1)
    again = score_features(labelled(values[written], labels[written]), 0)
    place = {feature: number for number, feature in enumerate(again.tested)}
    both = [(number, place[feature]) for number, feature in enumerate(every.tested) if feature in place]
    own, other = np.array(both).T
    for name, measure in MEASURES.items():
        used = measure.uses(labels)
        resampled = every.measured[name].resampled(weights[used])
        np.testing.assert_allclose(resampled[own], again.measured[name].effects()[other], atol=1e-12)


def test_spearman_and_aurocs_are_those_of_the_dense_columns(values: np.ndarray, labels: np.ndarray) -> None:
    table = score_features(labelled(values, labels), 1).table()
    assert table.schema == RANKING
    assert table["feature"].to_list() == np.flatnonzero((values != 0).any(axis=0)).tolist()
    for row in table.iter_rows(named=True):
        column = values[:, row["feature"]]
        if np.ptp(column):
            assert row["spearman"] == pytest.approx(stats.spearmanr(column, labels).statistic)
        else:
            assert row["spearman"] == 0 and row["p_spearman"] == 1
        for contrast in (CLEAN, RELATED):
            used = contrast.uses(labels)
            expected = roc_auc_score(np.isin(labels[used], contrast.ones), column[used])
            assert row[contrast.name] == pytest.approx(expected)
        assert row["support"] == np.count_nonzero(column)
        assert [row[name] for name in MEANS] == pytest.approx([column[labels == label].mean() for label in LABELS])


@pytest.mark.parametrize("contrast", [CLEAN, RELATED])
def test_p_of_an_auroc_is_that_of_the_dense_rank_test(values: np.ndarray, labels: np.ndarray, contrast: Auroc) -> None:
    scores = score_features(labelled(values, labels), 1)
    used = contrast.uses(labels)
    positive = np.isin(labels[used], contrast.ones)
    _, dense = rank_test(rank(values[used][:, scores.tested].astype(np.float64)), positive[:, None])
    p = scores.measured[contrast.name].p_values()
    same = np.isclose(p, dense[:, 0], rtol=1e-9)
    assert same.sum() > 20
    assert (p[~same] > dense[~same, 0]).all()  # a tail that is skewed upward is longer than the normal one
    assert np.abs(p - dense[:, 0]).max() < 0.1


def test_p_of_spearman_is_near_that_of_permutations(values: np.ndarray, labels: np.ndarray) -> None:
    scores = score_features(labelled(values, labels), 10)
    assert scores.tested.size >= 10
    measured = scores.measured["spearman"]
    effects, p = measured.effects(), measured.p_values()
    drawn = np.concatenate([block for _, block in measured.exchanged(4000, 0)])
    permuted = (np.abs(drawn) >= np.abs(effects)[:, None] - 1e-12).mean(axis=1)
    assert np.abs(permuted - p).max() < 0.03


def test_uneven_classes_and_rare_features_give_no_false_discoveries() -> None:
    found, small = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.repeat([0, 1, 2, 3], [170, 10, 10, 10]))
        values = (rng.random((200, 1500)) < rng.uniform(0.02, 0.1, 1500)) * rng.gamma(2, 2, (200, 1500))
        table = score_features(labelled(values, labels), 5).table()
        found += table.filter(pl.any_horizontal(pl.col([f"q_{name}" for name in MEASURES]) <= 0.05)).height
        small += [(table[f"p_{name}"] <= 1e-3).mean() for name in MEASURES]
    assert found == 0
    assert np.mean(small) <= 1e-3


def test_one_family_of_tests_spans_features_saes_and_measures() -> None:
    sentences, _ = scan(0, planted=True)
    scores = score_features(sentences.selection, 5)
    table = scores.table()
    p = np.concatenate([table[f"p_{name}"].to_numpy() for name in MEASURES])
    q = np.concatenate([table[f"q_{name}"].to_numpy() for name in MEASURES])
    np.testing.assert_allclose(q, corrected(pl.DataFrame({"p": p}))["q"])
    assert set(table["sae"]) == {"sae 0", "sae 1", "sae 2"}


def test_silent_and_rare_features_are_counted_and_left_out() -> None:
    values = np.zeros((40, 4))
    values[:4, 1], values[:5, 2], values[:, 3] = 1, 1, 2
    scores = score_features(labelled(values, np.arange(40) % 4), 5)
    assert scores.tested.tolist() == [2, 3]
    assert (scores.silent, scores.rare) == (1, 1)
    assert scores.table()["feature"].to_list() == [2, 3]


def test_a_stored_zero_is_no_activation() -> None:
    active = sparse.csc_array(np.eye(8)[:, :1].repeat(2, axis=1))
    active.data[1] = 0
    sentences = labelled(np.zeros((8, 2)), np.arange(8) % 4)
    stored = sentences.with_features(active, sentences.columns)
    assert stored.support().tolist() == [1, 0]
    assert score_features(stored, 1).silent == 1


def test_planted_features_rank_first_with_their_sign() -> None:
    sentences, _ = scan(3, planted=True)
    table = score_features(sentences.selection, 5).table().filter(sae="sae 1")
    rises, falls = (table.filter(feature=feature).row(0, named=True) for feature in (RISES, FALLS))
    assert rises["spearman"] > 0.7 and falls["spearman"] < -0.7
    assert rises["auroc_3_0"] > 0.9 and falls["auroc_3_0"] < 0.1
    assert rises["inversions"] == falls["inversions"] == 0
    assert rises["q_spearman"] < 1e-6 and falls["q_auroc_23_01"] < 1e-6


def test_inversions_count_pairs_of_labels_that_run_against_the_sign() -> None:
    means = np.array([[0.0, 3, 0, 1], [1, 2, 2, 1], [2, 1, 1, 1], [3, 0, 3, 1]])
    assert inversions(means, np.array([1.0, 1, 1, 1])).tolist() == [0, 6, 1, 6]
    assert inversions(means, np.array([1.0, -1, -1, -1])).tolist() == [0, 0, 5, 6]
    assert np.isnan(class_means(sparse.csc_array(np.ones((2, 1))), np.array([0, 3]))[1, 0])


def test_what_is_held_out_takes_no_part() -> None:
    sentences, _ = scan(4)
    changed = sentences.active.tolil()
    changed[np.flatnonzero(sentences.split == HELD_OUT)] = 9
    other = sentences.with_features(sparse.csc_array(changed), sentences.columns)
    assert score_features(sentences.selection, 5).table().equals(score_features(other.selection, 5).table())
