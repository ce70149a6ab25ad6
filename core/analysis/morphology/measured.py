"""A layer's features on the Arabic words, and which of them go with gender."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import sparse

from core.analysis.morphology.generic import Generic
from core.analysis.morphology.words import ARABIC, Stratum
from core.causal.controls import ASSOCIATED
from core.features.associations import MIN_IMAGES
from core.features.layer_view import LayerView
from core.features.word_rows import word_means, word_rows
from core.stats.families import ALPHA
from core.stats.rate_matching import RateMatched, match_rates


@dataclass(frozen=True)
class Measured:
    """A dictionary on the words: each feature's mean activation there [W, F], and how its features go with gender.

    `lean` is AUROC − ½ at the first gendered Arabic word on the selection split; `associated` tells where it is
    significant (q ≤ 0.05 within the layer), `free` where no test there associates the feature with gender.
    """

    means: sparse.csr_array
    lean: Float[np.ndarray, " F"]
    associated: Bool[np.ndarray, " F"]
    free: Bool[np.ndarray, " F"]

    @classmethod
    def of(cls, view: LayerView, words: pl.DataFrame) -> "Measured":
        """Measure the words' rows."""
        ranking = view.ranking
        tested = ranking.associations.filter(language=ARABIC, position_set=view.concept.positions.first)
        features, lean = tested["feature"].to_numpy(), np.zeros(ranking.num_features)
        associated = np.zeros(ranking.num_features, dtype=bool)
        lean[features] = tested["auroc"].to_numpy() - 0.5
        associated[features] = (tested["q"] <= ALPHA).to_numpy()
        means = word_means(view.index, word_rows(view.table.tokens, words))
        return cls(means, lean, associated, ranking.least_p >= ASSOCIATED)

    @property
    def signs(self) -> Float[np.ndarray, " F"]:
        """The side that each feature leans to."""
        return np.where(self.lean >= 0, 1.0, -1.0)


@dataclass(frozen=True)
class OnWords:
    """A dictionary on one stratum: its L live features in their standard deviations, each signed as it leans.

    Live are features that fire on at least max(20, 1 %) of the images there, whatever their labels. `rates` are the
    shares of words on which all F features fire, `units` the images. Means stay in: a regression has a constant.
    """

    measured: Measured
    z: Float[sparse.csc_array, "n L"]
    live: Int[np.ndarray, " L"]
    rates: Float[np.ndarray, " F"]
    units: Int[np.ndarray, " F"]

    @classmethod
    def of(cls, measured: Measured, stratum: Stratum | Generic) -> "OnWords":
        """The features on the words of `stratum`."""
        part = sparse.csr_array(measured.means[stratum.rows], dtype=np.float64)
        fired = sparse.csr_array((part != 0).astype(np.float64))
        _, codes = np.unique(stratum.units, return_inverse=True)
        of_unit = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))))
        units = np.asarray(((of_unit @ fired) > 0).sum(axis=0)).ravel()
        mean = np.asarray(part.mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(np.asarray(part.multiply(part).mean(axis=0)).ravel() - mean**2, 0))
        varies = spread > 1e-9 * np.maximum(mean, 1e-30)
        live = np.flatnonzero((units >= max(MIN_IMAGES, 0.01 * of_unit.shape[0])) & varies)
        z = sparse.csc_array(part[:, live] @ sparse.diags_array(measured.signs[live] / spread[live]))
        return cls(measured, z, live, np.asarray(fired.mean(axis=0)).ravel(), units)

    def strongest(self, count: int) -> list[int]:
        """The live features that go most with gender; ties go to the lower feature."""
        strength = np.abs(self.measured.lean[self.live]) * self.measured.associated[self.live]
        order = np.argsort(-strength, kind="stable")[:count]
        return [int(feature) for feature in self.live[order[strength[order] > 0]]]

    def matched(self, features: list[int]) -> RateMatched:
        """Live features that fire as often and do not go with gender."""
        pool = np.zeros(self.rates.size, dtype=bool)
        pool[self.live] = self.measured.free[self.live]
        return match_rates(features, self.rates, pool)

    def of_set(self, features: Sequence[int] | Int[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
        """The mean over some live features, word by word."""
        return np.asarray(self.z[:, np.searchsorted(self.live, features)].mean(axis=1)).ravel()
