"""Rank correlation of many features with a label at equal covariates: Spearman's partial correlation.

Ranks of feature and label are regressed on the ranks of the covariates, and what is left of the two is correlated
(Conover 1999, §5.4; Liu, Li, Wanga & Shepherd 2018, "Covariate-adjusted Spearman's rank correlation"). Unlike Quade's
(1967) rank analysis of covariance it takes the covariate out of the label too, so that it holds where the covariate
follows the label. A monotone function of a covariate, such as its logarithm, has the same ranks.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from core.stats.ranks import rank

_NOTHING = 1e-9
"""Share of a variance below which what the covariates leave of it is rounding."""


@dataclass(frozen=True, eq=False)
class PartialRanks:
    """A label [n] to be correlated with features at equal covariates [n, C]."""

    label: Float[np.ndarray, " n"]
    covariates: Float[np.ndarray, "n C"]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the correlation: n − 2 − C."""
        return int(self.label.size) - 2 - int(self.covariates.shape[1])

    @cached_property
    def _basis(self) -> Float[np.ndarray, "n R"]:
        """Orthonormal directions of the covariates' ranks; those of constant ones are left out."""
        left, size, _ = np.linalg.svd(rank(self.covariates), full_matrices=False)
        return np.asarray(left[:, size > _NOTHING * max(size.max(initial=0.0), 1.0)])

    def residual(self, ranked: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        """What the covariates' ranks leave of centred ranks, of unit length; 0 where they leave nothing."""
        left = ranked - self._basis @ (self._basis.T @ ranked)
        size, whole = np.linalg.norm(left, axis=0), np.linalg.norm(ranked, axis=0)
        some = size > np.sqrt(_NOTHING) * np.maximum(whole, 1e-300)
        return np.where(some, left / np.where(some, size, 1), 0)

    def with_orders(
        self, ranked: Float[np.ndarray, "n F"], orders: Int[np.ndarray, "draws n"]
    ) -> Float[np.ndarray, "F draws+1"]:
        """The partial correlation of each feature with the label, then with the label's residual in each order: what it
        is where the label says nothing that the covariates do not (Freedman & Lane 1983).

        Args:
            ranked: centred ranks of the features.
            orders: orders of the values; those that are exchangeable only together are moved together.
        """
        own = self.residual(rank(self.label[:, None]))
        moved = self.residual(own[:, 0][orders].T) if len(orders) else own[:, :0]
        return np.asarray(self.residual(ranked).T @ np.concatenate([own, moved], axis=1))

    def p(self, correlations: Float[np.ndarray, "*m"]) -> Float[np.ndarray, "*m"]:
        """Two-sided p of correlations, by Student's t."""
        inside = np.clip(1 - np.square(correlations), 1e-300, None)
        return np.asarray(2 * stats.t.sf(np.abs(correlations) * np.sqrt(self.freedom / inside), self.freedom))
