"""A measure with what its interval and its p come from: resampled images, or features; and the shuffles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from core.stats.intervals import Z95, bootstrap_mean, wilson

BOOTSTRAP = 1000


@dataclass(frozen=True)
class OverImages:
    """A number of a layer, in each resample of images and in each shuffle.

    With `jackknife` the resamples leave one unit out each; otherwise they are bootstrap resamples.
    """

    value: float
    resampled: Float[np.ndarray, " draws"]
    shuffled: Float[np.ndarray, " permutations"]
    jackknife: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval (Efron & Tibshirani 1993, ch. 11 and 13)."""
        known = self.resampled[np.isfinite(self.resampled)]
        if known.size < 2 or not math.isfinite(self.value):
            return math.nan, math.nan
        if not self.jackknife:
            low, high = np.quantile(known, [0.025, 0.975])
            return float(low), float(high)
        half = Z95 * math.sqrt((known.size - 1) * float(known.var()))
        return max(-1.0, self.value - half), min(1.0, self.value + half)

    @classmethod
    def pooled(cls, layers: "Sequence[OverImages]") -> "OverImages":
        """Averaged over layers, whose resamples and shuffles are the same ones."""
        parts = [np.mean([getattr(one, name) for one in layers], axis=0) for name in ("value", "resampled", "shuffled")]
        return cls(float(parts[0]), parts[1], parts[2], layers[0].jackknife)


@dataclass(frozen=True)
class OverFeatures:
    """A mean over features of a layer, and the same in each shuffle."""

    values: Float[np.ndarray, " n"]
    shuffled: Float[np.ndarray, " permutations"]

    @property
    def value(self) -> float:
        """The mean."""
        return float(self.values.mean()) if self.values.size else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's for a share, the bootstrap's over features for a mean."""
        if np.isin(self.values, (0, 1)).all():
            found = wilson(float(self.values.sum()), self.values.size)
        else:
            found = bootstrap_mean(self.values, BOOTSTRAP, 0)
        return found.low, found.high

    @classmethod
    def pooled(cls, layers: "Sequence[OverFeatures]") -> "OverFeatures":
        """The features of all layers together; their shuffles are the same ones, each layer's with the weight of its
        number of features, as in the value."""
        sizes = [one.values.size for one in layers]
        shuffled = np.average([one.shuffled for one in layers], axis=0, weights=sizes)
        return cls(np.concatenate([one.values for one in layers]), shuffled)


Value = OverImages | OverFeatures
