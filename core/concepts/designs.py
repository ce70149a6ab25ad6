"""How labels may be exchanged among sentences if they say nothing: the null hypothesis of every test of a scan.

Families whose sentences share one label exchange their labels as wholes. The labels of a family that has several are
exchanged within it. A sentence that is alone is a family of one. For an AUROC the labels are its two sides.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse


class Moments(NamedTuple):
    """Mean, variance and third central moment of F sums."""

    mean: Float[np.ndarray, " F"]
    variance: Float[np.ndarray, " F"]
    third: Float[np.ndarray, " F"]


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

    def moments(self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]) -> Moments:
        """Moments over all exchanges of the sum of ranks times target, for each column of `ranks` [n, F].

        Without families the variance is that of rank tests with tie correction (Lehmann 1975, p. 20).
        """
        parts = [self._between(ranks, target), self._within(ranks, target)]
        mean, variance, third = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
        return Moments(mean, np.maximum(variance, 0), third)

    def _between(self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]) -> Moments:
        """Families of one label, exchanged as wholes: the sums over each are what moves."""
        count = self.whole.shape[1]
        if count < 2:
            inside = self.whole.sum(axis=1) > 0
            nothing = np.zeros(ranks.shape[1])
            return Moments(ranks.T @ (inside * target), nothing, nothing)
        sums = sparse.csc_array(self.whole.T @ ranks)
        own = (self.whole.T @ target) / self.whole.sum(axis=0)
        total, squares, cubes = (sums.power(power).sum(axis=0) for power in (1, 2, 3))
        mean, centred = total / count, own - own.mean()
        third = cubes - 3 * mean * squares + 2 * count * mean**3
        variance = (squares - count * mean**2) * (centred**2).sum() / (count - 1)
        return Moments(total * own.mean(), variance, third * (centred**3).sum() * _third_scale(np.array(count)))

    def _within(self, ranks: sparse.csc_array, target: Float[np.ndarray, " n"]) -> Moments:
        """Families of several labels, each exchanged within."""
        sizes = self.mixed.sum(axis=0)
        means = (self.mixed.T @ target) / sizes
        inside = self.mixed.sum(axis=1) > 0
        centred = inside * (target - self.mixed @ means)
        spread = (self.mixed.T @ centred**2) / (sizes - 1)
        skew = (self.mixed.T @ centred**3) * _third_scale(sizes)
        sums = sparse.csc_array(self.mixed.T @ ranks)
        squared = sparse.csc_array(self.mixed.T @ ranks.power(2))
        variance = squared.T @ spread - sums.power(2).T @ (spread / sizes)
        third = ranks.power(3).T @ (self.mixed @ skew) - 3 * (sums * squared).T @ (skew / sizes)
        return Moments(sums.T @ means, variance, third + 2 * sums.power(3).T @ (skew / sizes**2))


def _third_scale(sizes: Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """What the product of two sums of cubes is multiplied with; two are exchanged without skew."""
    return np.asarray(np.where(sizes > 2, sizes / np.maximum((sizes - 1) * (sizes - 2), 1), 0.0))
