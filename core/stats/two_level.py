"""Resamples of two levels: groups (professions), then units (an image and its twin) within each group drawn.

A statement about professions holds for others of the kind only if it survives another draw of professions; images of
one profession are then no independent observations. Both levels are drawn with replacement (Davison & Hinkley 1997,
§3.8; Ren et al. 2010). Where groups do not differ, the spread of units counts about twice in such draws, so that the
interval is too wide rather than too narrow; with few groups it is too narrow, as that of any bootstrap of few units.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True, eq=False)
class Nested:
    """The number of each value's group and of its unit; no unit lies in two groups."""

    groups: Int[np.ndarray, " n"]
    units: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, groups: Sequence[Hashable], units: Int[np.ndarray, " n"]) -> "Nested":
        """Number the groups and units; groups that have a unit in common are one group."""
        names = list(dict.fromkeys(groups))
        own = np.array([names.index(group) for group in groups], dtype=np.int64)
        _, codes = np.unique(units, return_inverse=True)
        return cls(_tied(own, codes), codes)

    @property
    def several(self) -> bool:
        """Whether there are two groups at least: one group has a value and no interval."""
        return np.unique(self.groups).size > 1

    def __getitem__(self, kept: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Nested":
        return Nested(self.groups[kept], self.units[kept])

    def counts(self, draws: int, seed: int) -> Int[np.ndarray, "draws n"]:
        """How often each value stands in each resample.

        A group of m units that was drawn c times brings c·m draws of its units. Resamples differ in how many units
        they hold, so that a mean is the sum over the number.
        """
        first, codes = np.unique(self.units, return_index=True, return_inverse=True)[1:]
        _, group_of = np.unique(self.groups[first], return_inverse=True)
        sizes = np.bincount(group_of)
        rng = np.random.default_rng(seed)
        times = rng.multinomial(sizes.size, np.full(sizes.size, 1 / sizes.size), size=draws)
        found = np.empty((draws, group_of.size), dtype=np.int64)
        for group, size in enumerate(sizes):
            found[:, group_of == group] = rng.multinomial(times[:, group] * size, np.full(size, 1 / size))
        return found[:, codes]


def _tied(groups: Int[np.ndarray, " n"], units: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The groups, those that share a unit as one."""
    from scipy import sparse  # what reads a finished study's intervals needs none of it
    from scipy.sparse.csgraph import connected_components

    if not groups.size:
        return groups
    count = int(groups.max()) + 1
    size = count + int(units.max()) + 1
    edges = sparse.coo_array((np.ones(groups.size), (groups, count + units)), shape=(size, size))
    _, tied = connected_components(edges.tocsr(), directed=False)
    return np.unique(tied[groups], return_inverse=True)[1]
