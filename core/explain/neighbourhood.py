"""The prompts in which a feature's nearest features fire: those of similar decoders, and those that fire beside it."""

from itertools import chain, zip_longest

import numpy as np
from jaxtyping import Bool, Int

from core.explain.firing import firing
from core.explain.prompt_rows import Prompts
from core.features.index import FeatureIndex

EACH = 5
"""Features of either kind that count as nearest."""
_MOST = 4096
"""Prompts kept of a feature, the strongest."""


class Neighbourhood:
    """Prompts of nearest features; what was looked up is kept for the features that come after."""

    def __init__(self, index: FeatureIndex, prompts: Prompts) -> None:
        self._index, self._prompts = index, prompts
        self._strongest: dict[int, Int[np.ndarray, " n"]] = {}

    def near(self, feature: int, silent: Bool[np.ndarray, " P"]) -> Int[np.ndarray, " h"]:
        """The prompts of `silent` in which nearest features fire: the strongest of each, then the next of each."""
        found = [prompts[silent[prompts]] for prompts in map(self._of, self._nearest(feature))]
        ranks = np.concatenate([np.empty(0, np.int64), *(np.arange(len(prompts)) for prompts in found)])
        every = np.concatenate([np.empty(0, np.int64), *found])[np.argsort(ranks, kind="stable")]
        _, first = np.unique(every, return_index=True)
        return every[np.sort(first)]

    def _nearest(self, feature: int) -> list[int]:
        """By decoder and by co-activation in turn."""
        tables = (("neighbours", "neighbour"), ("coactivation", "partner"))
        nearest = [self._index.of_feature(name, feature)[column][:EACH].to_list() for name, column in tables]
        return list(dict.fromkeys(one for one in chain.from_iterable(zip_longest(*nearest)) if one is not None))

    def _of(self, feature: int) -> Int[np.ndarray, " n"]:
        if feature not in self._strongest:
            fired = firing(self._index, self._prompts, [feature])
            strength = fired.strongest(np.ones(len(fired.value), bool))
            order = np.argsort(-strength, kind="stable")[:_MOST]
            self._strongest[feature] = fired.prompt[order]
        return self._strongest[feature]
