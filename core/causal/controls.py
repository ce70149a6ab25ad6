"""Random features that could have been the chosen ones: as active, as strong, but not associated with the concept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from core.features.layer_view import LayerView
from core.features.profile import Profile

ASSOCIATED = 0.1
"""A feature with a smaller p, in any language and position set of the selection split, is no control."""
_NEAREST = 20
_FLOOR = 1e-8


@dataclass(frozen=True)
class Control:
    """Random feature sets matched with the chosen one; `pool` is how many features they are drawn from."""

    draws: tuple[tuple[int, ...], ...]
    pool: int


def matched_controls(view: LayerView, chosen: Sequence[int], draws: int, seed: int) -> Control:
    """Draw feature sets, one feature for each chosen one among the 20 nearest in firing rate and mean squared
    contribution, by segment and language; no feature twice in a set.

    Features associated with the concept anywhere on the selection split are left out of the pool.
    """
    pool = _pool(view, chosen)
    if pool.size < len(chosen):
        return Control((), int(pool.size))
    traits = _traits(view.profile)
    nearest = [_nearest(traits, pool, feature) for feature in chosen]
    random = np.random.default_rng(seed)
    return Control(tuple(_draw(nearest, pool, random) for _ in range(draws)), int(pool.size))


def _pool(view: LayerView, chosen: Sequence[int]) -> np.ndarray:
    free: Bool[np.ndarray, " F"] = (view.ranking.least_p >= ASSOCIATED) & (view.profile.rate.sum(axis=(0, 1)) > 0)
    free[list(chosen)] = False
    return np.flatnonzero(free)


def _traits(profile: Profile) -> Float[np.ndarray, "F traits"]:
    """Log firing rates and log powers, each scaled to unit spread."""
    seen = profile.rows.reshape(-1) > 0
    features = profile.rate.shape[2]
    parts = [np.log(part.reshape(-1, features)[seen] + _FLOOR) for part in (profile.rate, profile.power)]
    stacked = np.concatenate(parts).T
    return np.asarray((stacked - stacked.mean(axis=0)) / np.maximum(stacked.std(axis=0), _FLOOR))


def _nearest(traits: np.ndarray, pool: np.ndarray, feature: int) -> np.ndarray:
    distance = np.linalg.norm(traits[pool] - traits[feature], axis=1)
    return pool[np.argsort(distance, kind="stable")[:_NEAREST]]


def _draw(nearest: Sequence[np.ndarray], pool: np.ndarray, random: np.random.Generator) -> tuple[int, ...]:
    taken: list[int] = []
    for candidates in nearest:
        free = np.setdiff1d(candidates, taken)
        free = free if free.size else np.setdiff1d(pool, taken)
        taken.append(int(random.choice(free)))
    return tuple(taken)
