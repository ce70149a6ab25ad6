"""Directional bias amplification (Wang & Russakovsky 2021, "Directional Bias Amplification", ICML, eq. 4 and 5).

Two columns of yes or no per observation, what is given and what is told; how much more often does a model tell what
the data already tell too often together with what is given? The same formula serves both directions: task → attribute
(the place is given, the side is told) and attribute → task.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.group_means import Agreement
from core.stats.intervals import weights
from core.stats.two_level import Nested


@dataclass(frozen=True, eq=False)
class Told:
    """N observations: what is `given` [N, G], what the data tell [N, O], and what the model tells [N, O]."""

    given: Bool[np.ndarray, "N G"]
    data: Bool[np.ndarray, "N O"]
    model: Bool[np.ndarray, "N O"]

    def exchanged(self, which: Bool[np.ndarray, " N"]) -> "Told":
        """The data's and the model's exchanged in some observations."""
        swap = which[:, None]
        return Told(self.given, np.where(swap, self.model, self.data), np.where(swap, self.data, self.model))


def directional(told: Told, times: Float[np.ndarray, "draws N"]) -> Float[np.ndarray, " draws"]:
    """BiasAmp→ where each observation stands `times` times, row by row.

    The mean over pairs (g, o) of y·Δ − (1 − y)·Δ, with Δ = P(model tells o | g) − P(data tell o | g) and y whether the
    data have g and o together more often than if they were independent. Pairs whose g does not occur, and those that
    are independent in the data (o always or never told, g always given), are left out; NaN without any.
    """
    given, data, model = (part.astype(np.float64) for part in (told.given, told.data, told.model))
    pairs = (given.shape[1], data.shape[1])
    whole = times.sum(axis=1)[:, None, None]
    p_given = (times @ given)[:, :, None] / whole
    p_told = (times @ data)[:, None, :] / whole
    of_data, of_model = (_together(given, part, times).reshape(-1, *pairs) / whole for part in (data, model))
    lean = np.sign((of_data - p_given * p_told).round(12))
    change = np.divide(of_model - of_data, p_given, out=np.zeros(of_data.shape), where=p_given > 0)
    used = (lean != 0) & (p_given > 0)
    count = used.sum(axis=(1, 2))
    sums = np.where(used, lean * change, 0).sum(axis=(1, 2)).round(12) + 0.0  # rounding leaves −1e-19
    return np.asarray(np.divide(sums, count, out=np.full(count.shape, np.nan), where=count > 0))


def _together(
    given: Float[np.ndarray, "N G"], told: Float[np.ndarray, "N O"], times: Float[np.ndarray, "draws N"]
) -> Float[np.ndarray, "draws GO"]:
    return np.asarray(times @ (given[:, :, None] * told[:, None, :]).reshape(len(given), -1))


def directional_amplification(
    told: Told, units: Int[np.ndarray, " N"] | Nested, draws: tuple[int, int], seed: int
) -> Agreement | None:
    """`directional` with its interval over units, and what it is where data and model are the same.

    The control exchanges what the data and the model tell of each unit at random: its mean is not 0, for a chance lean
    of the data is a lean that the model lacks.

    Args:
        told: the observations.
        units: what each belongs to; nested: groups are drawn, then units within each.
        draws: resamples, and exchanges.
        seed: of both.

    Returns:
        Null where no pair can be measured.
    """
    size = len(told.given)
    value = float(directional(told, np.ones((1, size)))[0]) if size else math.nan
    if not math.isfinite(value):
        return None
    own = units.units if isinstance(units, Nested) else np.unique(units, return_inverse=True)[1]
    several = np.unique(own).size > 1
    drawn = directional(told, weights(size, draws[0], seed, units).astype(np.float64)) if several else None
    rng = np.random.default_rng([seed, 3])
    coins = rng.integers(0, 2, (draws[1], int(own.max()) + 1)).astype(bool)
    null = [directional(told.exchanged(coin[own]), np.ones((1, size)))[0] for coin in coins]
    return Agreement.of(value, drawn, np.array([one for one in null if math.isfinite(one)]))
