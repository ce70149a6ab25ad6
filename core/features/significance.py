"""How many of the features that rank highest for a concept are significant, over all layers together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from core.features.ranking import Ranking
from core.stats.families import discoveries


@dataclass(frozen=True)
class RankedTests:
    """A layer's tests on the selection split: `p` of all, and `best` [n], the least p of each chosen feature."""

    p: Float[np.ndarray, " m"]
    best: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, ranking: Ranking, features: Sequence[int], position_sets: Sequence[str]) -> "RankedTests":
        """The tests of every feature at some position sets, in every language; a feature not tested there has p 1.

        Where the sets have nothing to test, the first word stands for them, as in the ranking.
        """
        first = (ranking.concept.positions.first,)
        tables = (ranking.associations.filter(pl.col("position_set").is_in(sets)) for sets in (position_sets, first))
        tested = next((table for table in tables if table.height), ranking.associations.clear())
        least = np.ones(ranking.num_features)
        np.minimum.at(least, tested["feature"].to_numpy(), tested["p"].to_numpy())
        return cls(tested["p"].to_numpy(), least[list(features)])


def count_significant(layers: Sequence[RankedTests]) -> list[int]:
    """By layer, how many chosen features pass Benjamini-Hochberg at 5 % over all tests of all layers."""
    p = np.sort(np.concatenate([layer.p for layer in layers])) if layers else np.zeros(0)
    passing = discoveries(p, p.size)
    largest = p[passing - 1] if passing else -1.0
    return [int((layer.best <= largest).sum()) for layer in layers]


def how_many(significant: int, chosen: int) -> str:
    """How many of the chosen features are significant, in words."""
    if significant == 0:
        return "none significant"
    return "all significant" if significant == chosen else f"{significant:,} of {chosen:,} significant"
