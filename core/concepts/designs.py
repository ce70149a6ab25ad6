"""How labels may be exchanged among sentences if they say nothing: the null hypothesis of every test of a scan.

Families whose sentences share one label exchange their labels as wholes. The labels of a family that has several are
exchanged within it. A sentence that is alone is a family of one. For an AUROC the labels are its two sides.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse


@dataclass(frozen=True)
class Design:
    """The families of n sentences by kind.

    Args:
        whole: [n, G] 1 where a sentence belongs to a family of one label.
        mixed: [n, M] 1 where a sentence belongs to a family of several labels.
    """

    whole: sparse.csc_array
    mixed: sparse.csc_array

    @classmethod
    def of(cls, families: np.ndarray, classes: Int[np.ndarray, " n"]) -> "Design":
        """Sort families by whether their sentences share one label."""
        _, codes = np.unique(families, return_inverse=True)
        member = sparse.csc_array(
            (np.ones(codes.size), (np.arange(codes.size), codes)), shape=(codes.size, int(codes.max(initial=-1)) + 1)
        )
        sizes = member.sum(axis=0)
        means = (member.T @ classes) / sizes
        several = (member.T @ (classes - means[codes]) ** 2) > 1e-9
        return cls(member[:, ~several], member[:, several])

    def permuted(self, classes: Int[np.ndarray, " n"], draws: int, seed: int) -> Int[np.ndarray, "n draws"]:
        """Labels exchanged at random; one column per draw."""
        rng = np.random.default_rng(seed)
        moved = np.repeat(classes[:, None], draws, axis=1)
        rows, family = self.whole.nonzero()
        own = np.zeros(self.whole.shape[1], dtype=classes.dtype)
        own[family] = classes[rows]
        moved[rows] = rng.permuted(np.repeat(own[:, None], draws, axis=1), axis=0)[family]
        for number in range(self.mixed.shape[1]):
            members = self.mixed.indices[self.mixed.indptr[number] : self.mixed.indptr[number + 1]]
            moved[members] = rng.permuted(moved[members], axis=0)
        return moved

    def moments(
        self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, " F"]]:
        """Mean and variance over all exchanges of the sum of ranks times target, for each column of `ranks` [n, F].

        Without families this is the variance of rank tests with tie correction (Lehmann 1975, p. 20).
        """
        means, variances = zip(self._between(ranks, target), self._within(ranks, target), strict=True)
        return np.sum(means, axis=0), np.maximum(np.sum(variances, axis=0), 0)

    def _between(self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        count = self.whole.shape[1]
        if count < 2:
            return _unmoved(self.whole, ranks, target)
        sums = sparse.csc_array(self.whole.T @ ranks)
        own = (self.whole.T @ target) / self.whole.sum(axis=0)
        total = sums.sum(axis=0)
        deviations = sums.multiply(sums).sum(axis=0) - total**2 / count
        return total * own.mean(), deviations * ((own - own.mean()) ** 2).sum() / (count - 1)

    def _within(self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        sizes = self.mixed.sum(axis=0)
        means = (self.mixed.T @ target) / sizes
        inside = self.mixed.sum(axis=1) > 0
        spread = (self.mixed.T @ (inside * (target - self.mixed @ means) ** 2)) / (sizes - 1)
        sums = sparse.csc_array(self.mixed.T @ ranks)
        squares = sums.multiply(sums).T @ (spread / sizes)
        return sums.T @ means, ranks.multiply(ranks).T @ (self.mixed @ spread) - squares


def _unmoved(
    members: sparse.csc_array, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """Of a single family nothing moves: the sum is what it is."""
    fixed = ranks.T @ ((members.sum(axis=1) > 0) * target)
    return fixed, np.zeros(ranks.shape[1])
