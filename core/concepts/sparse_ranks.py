"""Ranks within each column of a sparse matrix, without the zeros ever being written out.

The zeros of a column tie. A rank less the zeros' own rank is therefore 0 where there is no entry, and sums of ranks
times numbers that sum to 0 are the same with these shifted ranks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse


@dataclass(frozen=True)
class SortedColumns:
    """The entries of each column in ascending order, equal ones in one tie group.

    Args:
        shape: rows n and columns F.
        rows: the row of each entry.
        column: the column of each entry, ascending.
        ties: the first entry of each tie group.
        above: whether each tie group's value is above 0.
    """

    shape: tuple[int, int]
    rows: Int[np.ndarray, " E"]
    column: Int[np.ndarray, " E"]
    ties: Int[np.ndarray, " G"]
    above: Bool[np.ndarray, " G"]

    @classmethod
    def of(cls, matrix: sparse.csc_array) -> "SortedColumns":
        """Sort the entries of a matrix; stored zeros are no entries."""
        kept = np.flatnonzero(matrix.data)
        values = matrix.data[kept]
        column = np.repeat(np.arange(matrix.shape[1], dtype=np.int32), np.diff(matrix.indptr))[kept]
        order = np.lexsort((values, column))
        values, column = values[order], column[order]
        first = np.ones(values.size, bool)
        first[1:] = (values[1:] != values[:-1]) | (column[1:] != column[:-1])
        ties = np.flatnonzero(first)
        return cls(matrix.shape, matrix.indices[kept][order], column, ties, values[ties] > 0)

    def sums(self, entries: Float[np.ndarray, " E"]) -> Float[np.ndarray, " F"]:
        """Sum of a number per entry, by column."""
        return np.asarray(np.bincount(self.column, entries, minlength=self.shape[1]))

    def ranks(self, weights: Int[np.ndarray, " n"]) -> Float[np.ndarray, " E"]:
        """Average rank of each entry less that of its column's zeros, each row standing there `weights` times."""
        own: Float[np.ndarray, " E"] = weights[self.rows].astype(np.float64)
        if not own.size:
            return own
        tied = np.add.reduceat(own, self.ties)
        column = self.column[self.ties]
        reached = np.cumsum(tied)
        within, below = (np.bincount(column, part, minlength=self.shape[1]) for part in (tied, tied * ~self.above))
        start = np.cumsum(within) - within
        zeros = weights.sum() - within
        rank = reached - start[column] - (tied - 1) / 2 + zeros[column] * self.above
        shifted = rank - (below + (zeros + 1) / 2)[column]
        return np.asarray(np.repeat(shifted, np.diff(np.append(self.ties, own.size))))

    def matrix(self, entries: Float[np.ndarray, " E"]) -> sparse.csc_array:
        """A number per entry as a sparse matrix [n, F]."""
        indptr = np.searchsorted(self.column, np.arange(self.shape[1] + 1))
        return sparse.csc_array((entries, self.rows, indptr), shape=self.shape)
