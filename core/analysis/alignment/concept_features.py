"""Each language's features that differ most between the concept's sides: the same ones, and how near they lie."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from core.analysis.alignment.design import Sides
from core.analysis.alignment.values import OverFeatures

SHARE = 10
"""At most one in so many live features is among the first ones, or they would overlap however they are chosen."""


@dataclass(frozen=True)
class Firsts:
    """The first features of each language by |Cohen's d|, as labelled in row 0 and as shuffled in the others.

    `d_first` and `d_second` are as labelled; `live` is how many features might have been among the first.
    """

    first: Int[np.ndarray, "draws1 top"]
    second: Int[np.ndarray, "draws1 top"]
    d_first: Float[np.ndarray, " F"]
    d_second: Float[np.ndarray, " F"]
    live: int

    @property
    def top(self) -> int:
        """How many there are of each."""
        return int(self.first.shape[1])

    @property
    def overlap(self) -> OverFeatures:
        """The share of the first language's first features that are among the second's, too."""
        return self.overlap_of(self.top)

    def overlap_of(self, top: int) -> OverFeatures:
        """The same for the foremost `top` of each language alone."""
        pairs = zip(self.first[:, :top], self.second[:, :top], strict=True)
        return _over(np.stack([np.isin(one, other) for one, other in pairs]).astype(np.float64))


def _over(values: Float[np.ndarray, "draws1 top"]) -> OverFeatures:
    return OverFeatures(values[0], values[1:].mean(axis=1))


def first_features(
    means: tuple[sparse.csr_array, sparse.csr_array], sides: Sides, live: Bool[np.ndarray, " F"], most: int
) -> Firsts | None:
    """Rank features in both languages; null where there are so few live ones that a tenth is none.

    Args:
        means: mean activations [N, F] over the captions of each language.
        sides: the images' labels.
        live: features that may be among the first.
        most: first features at most.
    """
    top = min(most, int(live.sum()) // SHARE)
    if not top:
        return None
    found = [cohens_d(side[sides.rows], sides.positive) for side in means]
    first, second = (_largest(np.abs(d), live, top) for d in found)
    return Firsts(first, second, found[0][0], found[1][0], int(live.sum()))


def cohens_d(values: sparse.csr_array, positive: Bool[np.ndarray, "m draws"]) -> Float[np.ndarray, "draws F"]:
    """Difference of the two sides' means over their pooled standard deviation; 0 where a feature does not vary."""
    labels = positive.astype(np.float64)
    values = sparse.csr_array(values, dtype=np.float64)
    squares = values.multiply(values).tocsr()
    n, ones = len(labels), labels.sum(axis=0)[:, None]
    zeros = n - ones
    sums, squared = (np.asarray((matrix.T @ labels).T) for matrix in (values, squares))
    whole, squared_whole = (np.asarray(matrix.sum(axis=0)).ravel() for matrix in (values, squares))
    mean, other = sums / ones, (whole - sums) / zeros
    within = squared - ones * mean**2 + (squared_whole - squared) - zeros * other**2
    deviation = np.sqrt(np.maximum(within, 0) / (n - 2))
    known = deviation > 1e-9 * np.sqrt(squared_whole + 1e-30)
    return np.asarray(np.where(known, (mean - other) / np.where(known, deviation, 1), 0.0))


def _largest(
    size: Float[np.ndarray, "draws F"], live: Bool[np.ndarray, " F"], top: int
) -> Int[np.ndarray, "draws top"]:
    ranked = np.where(live, size, -1.0)
    return np.asarray(np.argsort(-ranked, axis=1, kind="stable")[:, :top])


def nearest(
    first: Float[np.ndarray, "top D"], second: Float[np.ndarray, "top D"]
) -> tuple[Float[np.ndarray, " top"], Float[np.ndarray, " top"]]:
    """Cosines of directions with those of another set, all of unit length.

    Returns:
        Of each direction, its cosine with the nearest of the others; and with its partner where all are paired one to
        one so that the cosines sum up to the most. That is optimal transport between the two sets as uniform measures
        with cost 1 − cosine, whose optimum is a pairing (Peyré & Cuturi 2019, proposition 2.1).
    """
    cosine = first @ second.T
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    return cosine.max(axis=1), cosine[rows, columns]


def unit(decoder: Float[np.ndarray, "F D"]) -> Float[np.ndarray, "F D"]:
    """Rows of unit length."""
    return np.asarray(decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-12))


def decoder_alignment(firsts: Firsts, decoder: Float[np.ndarray, "F D"]) -> tuple[OverFeatures, OverFeatures]:
    """`nearest` of the languages' first features."""
    rows = unit(decoder)
    found = [nearest(rows[one], rows[other]) for one, other in zip(firsts.first, firsts.second, strict=True)]
    cosine, transport = (_over(np.stack(part)) for part in zip(*found, strict=True))
    return cosine, transport
