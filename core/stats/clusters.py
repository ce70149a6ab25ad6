"""Clusters of things that are described by several blocks of numbers: how many, how well apart, how alike two are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MOST = 8
"""Most clusters that are tried."""
LEAST = 6
"""Least things that are clustered."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """`labels` [F] from 0, by the size of the cluster, the largest first; `widths` [F] are the silhouettes."""

    labels: Int[np.ndarray, " F"]
    widths: Float[np.ndarray, " F"]

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max()) + 1

    @property
    def width(self) -> float:
        """The mean silhouette."""
        return float(self.widths.mean())


def balanced(blocks: Sequence[Float[np.ndarray, "F C"]]) -> Float[np.ndarray, "F D"]:
    """Blocks side by side, each centred and with a total variance of 1, so that none outweighs the others; a block
    that is the same for all is left out."""
    parts = []
    for block in blocks:
        centred = block - block.mean(axis=0)
        total = math.sqrt(np.square(centred).sum() / max(len(block), 1))
        parts += [centred / total] if total > 1e-12 else []
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(blocks[0]), 1))


def cluster(x: Float[np.ndarray, "F D"], most: int = MOST) -> Clustering:
    """Ward's clusters (Murtagh & Legendre 2014), as many, from 2 to `most`, as have the largest mean silhouette
    (Rousseeuw 1987); one where all things are alike."""
    from scipy.cluster.hierarchy import ward
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_samples

    distances = pdist(x)
    tree, square = ward(distances), squareform(distances)
    best = Clustering(np.zeros(len(x), dtype=np.int64), np.full(len(x), -1.0))
    for count in range(2, min(most, len(x) - 1) + 1):
        labels = _cut(tree, count)
        if labels.max() > 0:
            widths = np.asarray(silhouette_samples(square, labels, metric="precomputed"))
            best = Clustering(labels, widths) if widths.mean() > best.width + 1e-12 else best
    return Clustering(_by_size(best.labels), best.widths)


def cluster_into(x: Float[np.ndarray, "F D"], *counts: int) -> list[Int[np.ndarray, " F"]]:
    """The labels of so many of Ward's clusters, for each count; of fewer where things are alike."""
    from scipy.cluster.hierarchy import ward

    tree = ward(x)
    return [_cut(tree, count) for count in counts]


def _cut(tree: Float[np.ndarray, "F1 4"], count: int) -> Int[np.ndarray, " F"]:
    from scipy.cluster.hierarchy import fcluster

    return np.asarray(fcluster(tree, count, criterion="maxclust"), dtype=np.int64) - 1


def _by_size(labels: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.asarray(np.argsort(order, kind="stable")[labels])


def adjusted_rand(one: Int[np.ndarray, " F"], other: Int[np.ndarray, " F"]) -> float:
    """How alike two clusterings are: 1 the same, 0 on average for random labels (Hubert & Arabie 1985)."""
    columns = int(other.max()) + 1
    together = np.bincount(one * columns + other)
    pairs = [float((counts * (counts - 1)).sum() / 2) for counts in (together, np.bincount(one), np.bincount(other))]
    expected = pairs[1] * pairs[2] / max(len(one) * (len(one) - 1) / 2, 1)
    most = (pairs[1] + pairs[2]) / 2
    return 1.0 if most == expected else (pairs[0] - expected) / (most - expected)
