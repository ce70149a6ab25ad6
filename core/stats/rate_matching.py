"""Features to compare the chosen ones with: they fire as often, within a stated caliper, and are none of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

CALIPER = 1.25
"""Largest ratio of two firing rates that count as the same."""
MOST = 50
"""Most candidates of a chosen feature: those nearest in firing rate."""
LEAST = 5
"""A feature with fewer candidates has no match."""
_TRIES = 50


@dataclass(frozen=True)
class RateMatched:
    """Chosen features that have a match, the candidates of each, and those that have none.

    `candidates` holds, for each of the M `features`, the pool's features whose rate is within the caliper, nearest
    first.
    """

    features: tuple[int, ...]
    candidates: tuple[Int[np.ndarray, " C"], ...]
    unmatched: tuple[int, ...]

    @property
    def drawn_from(self) -> list[int]:
        """Every candidate, once."""
        return sorted({int(feature) for candidates in self.candidates for feature in candidates})

    def of(self, chosen: Sequence[int]) -> "RateMatched":
        """Only some of the chosen features."""
        kept = [number for number, feature in enumerate(self.features) if feature in chosen]
        features, candidates = ([part[number] for number in kept] for part in (self.features, self.candidates))
        unmatched = tuple(feature for feature in self.unmatched if feature in chosen)
        return RateMatched(tuple(features), tuple(candidates), unmatched)  # type: ignore[arg-type]

    def draw(self, draws: int, random: np.random.Generator) -> Int[np.ndarray, "draws M"]:
        """Sets of one candidate per feature, no candidate twice in a set where they suffice."""
        drawn = np.zeros((draws, len(self.features)), dtype=np.int64)
        for column, candidates in enumerate(self.candidates):
            again = np.arange(draws)
            for _ in range(_TRIES):
                drawn[again, column] = random.choice(candidates, size=again.size)
                again = again[(drawn[again, :column] == drawn[again, column, None]).any(axis=1)]
                if not again.size:
                    break
        return drawn

    def sets(self, draws: int, random: np.random.Generator) -> Int[np.ndarray, "sets M"]:
        """The different sets among `draws`: fewer where there are few candidates, so that no p is finer than they."""
        if not self.features:
            return np.zeros((0, 0), dtype=np.int64)
        drawn = self.draw(draws, random)
        _, first = np.unique(np.sort(drawn, axis=1), axis=0, return_index=True)
        return drawn[np.sort(first)]


def match_rates(chosen: Sequence[int], rates: Float[np.ndarray, " F"], pool: Bool[np.ndarray, " F"]) -> RateMatched:
    """Find each chosen feature's candidates in the pool by firing rate, chosen features never among them.

    Args:
        chosen: the features to compare.
        rates: how often every feature fires; the pool's and the chosen ones' are above 0.
        pool: features that may be drawn: they passed the same filter as the chosen ones.
    """
    free = pool & (rates > 0)
    free[list(chosen)] = False
    others = np.flatnonzero(free)
    features: list[int] = []
    candidates: list[Int[np.ndarray, " C"]] = []
    for feature in chosen:
        near = _nearest(rates, others, feature)
        if near.size >= LEAST:
            features.append(int(feature))
            candidates.append(near)
    unmatched = tuple(int(feature) for feature in chosen if feature not in features)
    return RateMatched(tuple(features), tuple(candidates), unmatched)


def _nearest(rates: Float[np.ndarray, " F"], others: Int[np.ndarray, " O"], feature: int) -> Int[np.ndarray, " C"]:
    if not rates[feature] > 0:
        return others[:0]
    distance = np.abs(np.log(rates[others] / rates[feature]))
    order = np.argsort(distance, kind="stable")[:MOST]
    return np.asarray(others[order[distance[order] <= np.log(CALIPER) + 1e-12]])
