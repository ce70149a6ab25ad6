"""A direction and the two components that matter most beside it: the stream in three dimensions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Axes(NamedTuple):
    """Three orthogonal unit directions [3, D], the values' centre [D], their spread along each, and the shares of the
    whole variance that they hold."""

    directions: Float[np.ndarray, "3 D"]
    centre: Float[np.ndarray, " D"]
    spread: Float[np.ndarray, " 3"]
    shares: Float[np.ndarray, " 3"]

    def place(self, x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n 3"]:
        """Where values lie along the three, in standard deviations of those that the axes were fitted on."""
        along = (x - self.centre) @ self.directions.T
        return np.asarray(np.divide(along, self.spread, out=np.zeros_like(along), where=self.spread > 0))


def axes_beside(x: Float[np.ndarray, "n D"], direction: Float[np.ndarray, " D"]) -> Axes:
    """`direction`, and the two leading principal components of what is orthogonal to it.

    Args:
        x: the values that the components are fitted on.
        direction: any length but 0.
    """
    unit = direction / np.linalg.norm(direction)
    centred = x - x.mean(axis=0)
    left = centred - np.outer(centred @ unit, unit)
    _, _, components = np.linalg.svd(left, full_matrices=False)
    directions = np.zeros((3, x.shape[1]))
    directions[0] = unit
    found = components[: min(2, x.shape[1] - 1)]
    signs = np.where(found[np.arange(len(found)), np.abs(found).argmax(axis=1)] < 0, -1, 1)
    directions[1 : 1 + len(found)] = found * signs[:, None]
    along = centred @ directions.T
    total = float(np.square(centred).sum())
    shares = np.square(along).sum(axis=0) / total if total else np.zeros(3)
    return Axes(directions, x.mean(axis=0), along.std(axis=0), shares)


def random_directions(x: Float[np.ndarray, "n D"], draws: int, seed: int) -> Float[np.ndarray, "draws D"]:
    """Directions drawn from the covariance of the values: as the values vary, whatever they are about.

    Isotropic ones would lie mostly where the values do not vary at all.
    """
    weights = np.random.default_rng(seed).normal(size=(draws, len(x)))
    return np.asarray(weights @ (x - x.mean(axis=0)) / np.sqrt(len(x)))
