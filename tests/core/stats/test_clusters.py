"""Clusters against scikit-learn, and planted groups."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from core.stats.clusters import adjusted_rand, balanced, cluster, cluster_into


def groups(count: int, each: int = 12, apart: float = 6.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(count), each)
    return truth, random.normal(size=(truth.size, 5)) + apart * np.eye(5)[truth]


def test_the_adjusted_rand_index_is_scikit_learn_s():
    random = np.random.default_rng(0)
    for count in (1, 2, 5):
        one, other = random.integers(count, size=40), random.integers(3, size=40)
        assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)
    assert adjusted_rand(one, one) == 1 and adjusted_rand(np.zeros(9, int), np.zeros(9, int)) == 1


@pytest.mark.parametrize("count", [2, 3, 5])
def test_planted_groups_are_found_in_number_and_membership(count: int):
    truth, x = groups(count)
    found = cluster(x)
    assert found.count == count and adjusted_rand(found.labels, truth) == 1
    assert found.width == pytest.approx(silhouette_score(x, truth))
    assert adjusted_rand(cluster_into(x, count)[0], truth) == 1


def test_clusters_are_those_of_scikit_learn_and_stand_by_size():
    _, x = groups(4, apart=1.0, seed=3)
    reference = AgglomerativeClustering(4, linkage="ward").fit_predict(x)
    assert adjusted_rand(cluster_into(x, 2, 4)[1], reference) == 1
    sizes = np.bincount(cluster(x).labels)
    assert (np.diff(sizes) <= 0).all()


def test_things_that_are_all_alike_are_one_cluster():
    found = cluster(np.ones((9, 3)))
    assert found.count == 1 and cluster_into(np.ones((9, 3)), 3)[0].max() == 0


def test_blocks_weigh_the_same_whatever_their_scale_and_a_constant_one_is_left_out():
    random = np.random.default_rng(1)
    wide, narrow, same = 100 * random.normal(size=(30, 8)), 0.01 * random.normal(size=(30, 2)), np.ones((30, 3))
    x = balanced([wide, narrow, same])
    assert x.shape == (30, 10)
    assert np.square(x[:, :8]).sum() == pytest.approx(np.square(x[:, 8:]).sum()) == pytest.approx(30)
