"""Linear regression of many columns on one small design, with errors clustered by what values belong to.

Errors are the cluster jackknife (CV3: MacKinnon, Nielsen & Webb 2023, "Fast and reliable jackknife and bootstrap
methods for cluster-robust inference"): the coefficients without each cluster in turn tell how far the estimate depends
on it. With few clusters it is more careful than the sandwich, and leave-one-out is part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

MOST_INFLATED = 10.0
"""Largest variance inflation of a term that is told from the others."""
_SINGULAR = 1e10
_DEALS = 64
"""Deals whose levels are held at once."""
_HELD = 2**22
"""Numbers, clusters × terms × columns, that are held at once."""


class Regression(NamedTuple):
    """Coefficients [K, F] of K terms for F columns.

    `errors` and two-sided `p` (t, clusters − 1 degrees of freedom) are NaN where some cluster cannot be left out, for
    a term then rests on it alone. `least` and `most` are the coefficient's extremes with one cluster left out.
    """

    coefficients: Float[np.ndarray, "K F"]
    errors: Float[np.ndarray, "K F"]
    p: Float[np.ndarray, "K F"]
    least: Float[np.ndarray, "K F"]
    most: Float[np.ndarray, "K F"]
    clusters: int

    def interval(self) -> tuple[Float[np.ndarray, "K F"], Float[np.ndarray, "K F"]]:
        """Ends of the 95 % intervals."""
        from scipy import stats

        half = stats.t.ppf(0.975, max(self.clusters - 1, 1)) * self.errors
        return self.coefficients - half, self.coefficients + half


def crossed(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """The design of a 2 × 2: constant, one, other, and both together.

    Levels are ±½: the first two effects are differences averaged over the other's levels, and the last is the
    difference between the differences.
    """
    first, second = one - 0.5, other - 0.5
    return np.column_stack([np.ones(len(first)), first, second, first * second])


def inflation(x: Float[np.ndarray, "n K"]) -> Float[np.ndarray, " K"]:
    """Variance inflation of each term, 1 / (1 − R²) on all the others (Marquardt 1970); the constant, which comes
    first, has none. Infinite where the others give the term exactly."""
    found = np.full(x.shape[1], np.nan)
    for term in range(1, x.shape[1]):
        others, own = np.delete(x, term, axis=1), x[:, term]
        left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        total, rest = np.square(own - own.mean()).sum(), np.square(left).sum()
        found[term] = total / rest if rest > 1e-9 * max(total, 1e-12) else np.inf
    return found


def regress(
    x: Float[np.ndarray, "n K"], y: Float[np.ndarray, "n F"] | sparse.csr_array, clusters: Int[np.ndarray, " n"]
) -> Regression:
    """Least squares of every column of `y` on `x`.

    Args:
        x: terms, the constant first; of full rank.
        y: values, dense or sparse.
        clusters: what each value belongs to: a word, an image with its twin.
    """
    width = max(1, _HELD // (len(np.unique(clusters)) * x.shape[1]))
    parts = [_columns(x, block, clusters) for block in _blocks(y, width)]
    coefficients, errors, p, least, most = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in Regression._fields[:-1]
    )
    return Regression(coefficients, errors, p, least, most, parts[0].clusters)


def two_way(
    x: Float[np.ndarray, "n K"],
    y: Float[np.ndarray, "n F"] | sparse.csr_array,
    one: Int[np.ndarray, " n"],
    other: Int[np.ndarray, " n"],
) -> Regression:
    """`regress` with errors clustered both ways (Cameron, Gelbach & Miller 2011): the variances under each clustering,
    less that under their intersection, and never less than the larger of the two.

    Degrees of freedom are of the fewer clusters. `least` and `most` are the extremes with one of `one` left out.
    """
    first, second = regress(x, y, one), regress(x, y, other)
    both = regress(x, y, np.unique(np.column_stack([one, other]), axis=0, return_inverse=True)[1].ravel())
    variances = [np.square(found.errors) for found in (first, second, both)]
    largest = np.maximum(variances[0], variances[1])
    errors = np.sqrt(np.maximum(largest, variances[0] + variances[1] - variances[2]))
    clusters = min(first.clusters, second.clusters)
    p = np.where(np.isnan(errors), np.nan, _two_sided(first.coefficients, errors, clusters))
    return first._replace(errors=errors, p=p, clusters=clusters)


def dealt(
    labels: Bool[np.ndarray, " n"], clusters: Int[np.ndarray, " n"], draws: int, seed: int
) -> Bool[np.ndarray, "draws n"]:
    """Labels dealt to the clusters at random: what a coefficient is where they say nothing.

    Clusters of one label exchange theirs; in those that hold both (an image with its twin, a word in two forms) the two
    labels change places or not.
    """
    _, codes = np.unique(clusters, return_inverse=True)
    share = np.bincount(codes, weights=labels) / np.bincount(codes)
    pure = np.flatnonzero((share == 0) | (share == 1))
    random = np.random.default_rng(seed)
    flips = random.random((draws, share.size)) < 0.5
    flips[:, pure] = random.permuted(np.tile(share[pure] == 1, (draws, 1)), axis=1) != (share[pure] == 1)
    return np.asarray(labels ^ flips[:, codes])


@dataclass(frozen=True)
class Dealt:
    """Designs whose two-level term is dealt to clusters at random: terms of `base` [n, B], the constant first, and each
    of them times the dealt `labels` [draws, n] at ±½."""

    labels: Bool[np.ndarray, "draws n"]
    base: Float[np.ndarray, "n B"]

    def coefficients(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
        """The dealt term's coefficient in each design; designs without full rank are left out."""
        grams, full = self._grams
        fixed = np.broadcast_to(self.base.T @ y, (len(self.labels), self.base.shape[1]))
        products = np.concatenate([fixed, self._sums(self.base * y[:, None])], axis=1)
        found = np.linalg.solve(grams[full], products[full][:, :, None])
        return np.asarray(found[:, self.base.shape[1], 0])

    @cached_property
    def _grams(self) -> tuple[Float[np.ndarray, "draws K K"], Bool[np.ndarray, " draws"]]:
        """Products of the terms, and which designs are of full rank; the same for every column."""
        terms = self.base.shape[1]
        squares = np.einsum("ni,nj->nij", self.base, self.base).reshape(len(self.base), -1)
        across = self._sums(squares).reshape(-1, terms, terms)
        own = np.broadcast_to(self.base.T @ self.base, across.shape)
        grams = np.block([[own, across], [across, own / 4]])
        return grams, np.linalg.cond(grams) < _SINGULAR

    def _sums(self, values: Float[np.ndarray, "n v"]) -> Float[np.ndarray, "draws v"]:
        """Sums of the values, each times its dealt level."""
        parts = [(self.labels[at : at + _DEALS] - 0.5) @ values for at in range(0, len(self.labels), _DEALS)]
        return np.concatenate(parts)


def _blocks(y: Float[np.ndarray, "n F"] | sparse.csr_array, width: int) -> Iterator[sparse.csr_array]:
    columns = sparse.csc_array(y)
    for start in range(0, max(columns.shape[1], 1), width):
        yield sparse.csr_array(columns[:, start : start + width])


def _columns(x: Float[np.ndarray, "n K"], y: sparse.csr_array, clusters: Int[np.ndarray, " n"]) -> Regression:
    """One block of columns; only sums within clusters are dense."""
    _, codes = np.unique(clusters, return_inverse=True)
    count, terms = int(codes.max()) + 1, x.shape[1]
    of_cluster = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(count, len(codes)))
    own = of_cluster @ np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
    design = np.asarray(own).reshape(count, terms, terms)
    values = np.stack([(of_cluster @ (sparse.diags_array(x[:, term]) @ y)).toarray() for term in range(terms)], axis=1)
    whole, total = design.sum(axis=0), values.sum(axis=0)
    coefficients = np.linalg.solve(whole, total)
    if count < 2 or np.linalg.cond(whole - design).max() > _SINGULAR:
        unknown = np.full_like(coefficients, np.nan)
        return Regression(coefficients, unknown, unknown, unknown, unknown, count)
    without = np.linalg.solve(whole - design, total - values)
    errors = np.sqrt((count - 1) / count * np.square(without - coefficients).sum(axis=0))
    return Regression(
        coefficients, errors, _two_sided(coefficients, errors, count), without.min(axis=0), without.max(axis=0), count
    )


def _two_sided(
    coefficients: Float[np.ndarray, "K F"], errors: Float[np.ndarray, "K F"], clusters: int
) -> Float[np.ndarray, "K F"]:
    from scipy import stats

    size = np.divide(np.abs(coefficients), errors, out=np.zeros_like(errors), where=errors > 1e-12)
    return np.asarray(2 * stats.t.sf(size, clusters - 1))
