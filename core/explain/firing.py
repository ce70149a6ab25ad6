"""Where features fire, prompt by prompt: a feature index's rows turned into tokens and image patches of prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from core.explain.prompt_rows import Prompts
from core.features.examples import Active

_BLOCK_ENTRIES = 1 << 20
"""Active rows of the features that are in memory together; a feature is never cut."""


@dataclass(frozen=True)
class Firing:
    """The n tokens and patches on which some features are active, by feature, prompt and place, tokens first.

    Attributes:
        features: the features' numbers.
        keys: what is fired on, one per pair of feature and prompt: feature's place × P + prompt, ascending.
        starts: where each pair's entries start.
        place: place among the prompt's tokens or the image's patches.
        image: whether it is a patch.
        value: the activation.
    """

    features: Int[np.ndarray, " f"]
    prompts: int
    keys: Int[np.ndarray, " k"]
    starts: Int[np.ndarray, " k1"]
    place: Int[np.ndarray, " n"]
    image: Bool[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]

    @property
    def owner(self) -> Int[np.ndarray, " k"]:
        """The feature's place in `features`, of each pair."""
        return self.keys // max(1, self.prompts)

    @property
    def prompt(self) -> Int[np.ndarray, " k"]:
        """The prompt of each pair."""
        return self.keys % max(1, self.prompts)

    def strongest(self, among: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        """The largest activation of each pair among chosen entries, 0 where there is none."""
        if not len(self.keys):
            return np.zeros(0, np.float32)
        return np.maximum.reduceat(np.where(among, self.value, np.float32(0)), self.starts[:-1])

    def counts(self, among: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
        """How many of the chosen entries each pair has."""
        total = np.concatenate([[0], np.cumsum(among)])
        return np.asarray(total[self.starts[1:]] - total[self.starts[:-1]])

    def entries(self, pairs: Int[np.ndarray, " m"]) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
        """The entries of chosen pairs, one pair after the other, and the place in `pairs` of each."""
        return spans(self.starts[pairs], self.starts[pairs + 1])

    def find(self, owner: Int[np.ndarray, " m"], prompt: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
        """The pair of each feature's place and prompt, -1 where it is silent."""
        wanted = owner * self.prompts + prompt
        at = np.searchsorted(self.keys, wanted)
        there = at < len(self.keys)
        there[there] = self.keys[at[there]] == wanted[there]
        return np.where(there, at, -1)


def spans(starts: Int[np.ndarray, " m"], stops: Int[np.ndarray, " m"]) -> tuple[Any, Any]:
    """The numbers from each start to its stop (exclusive), one span after the other, and the span of each."""
    lengths = stops - starts
    of = np.repeat(np.arange(len(starts)), lengths)
    before = np.repeat(lengths.cumsum() - lengths, lengths)
    return np.arange(len(of)) - before + starts[of], of


def firing(index: Active, prompts: Prompts, features: Sequence[int]) -> Firing:
    """Where each feature fires; special rows left out.

    Raises:
        BadInput: there is no such feature.
    """
    found = [index.csc(int(feature)) for feature in features]
    rows = np.concatenate([np.empty(0, np.int64), *(np.asarray(rows, np.int64) for rows, _ in found)])
    values = np.concatenate([np.empty(0, np.float32), *(np.asarray(values, np.float32) for _, values in found)])
    owner = np.repeat(np.arange(len(found)), [len(rows) for rows, _ in found])
    entry, of = spans(prompts.starts[rows], prompts.starts[rows + 1])
    keys = owner[of] * len(prompts) + prompts.prompt[entry]
    image, place = prompts.image[entry], prompts.place[entry]
    order = np.lexsort((place, image, keys))
    unique, starts = np.unique(keys[order], return_index=True)
    return Firing(
        np.asarray(features, np.int64),
        len(prompts),
        unique,
        np.append(starts, len(order)),
        place[order],
        image[order],
        values[of][order],
    )


def blocks(index: Active, features: Sequence[int], most: int = _BLOCK_ENTRIES) -> Iterator[list[int]]:
    """The features in runs of at most `most` active rows; a feature with more is a run of its own.

    Raises:
        BadInput: there is no such feature.
    """
    block: list[int] = []
    filled = 0
    for feature in features:
        count = len(index.csc(int(feature))[0])
        if block and filled + count > most:
            yield block
            block, filled = [], 0
        block.append(int(feature))
        filled += count
    if block:
        yield block
