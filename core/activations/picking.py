"""The rows that a shard keeps of one forward pass, taken while it runs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import BFloat16, Float, Int
from torch import Tensor

from core.activations.rows import Key, Layout
from core.activations.writing import Picked
from core.study.model import Pool

_Tokens = Int[np.ndarray, "3 n"]
"""Of each kept token its row in the file, its sequence in the pass, and its place in the sequence."""
_NONE = np.zeros((3, 0), np.int64)


class PassRows:
    """Called with one layer's states it gives the rows that are kept of them, file after file, in bfloat16.

    Tokens of one row are pooled in float32. `tokens` is how many the pass had, padding included, once a layer has run.
    """

    def __init__(self, layout: Layout, keys: Sequence[Key], pool: Pool) -> None:
        chosen: dict[str, list[_Tokens]] = defaultdict(list)
        for sequence, key in enumerate(keys):
            kept = layout.kept[key]
            if kept.rows:
                chosen[kept.file].append(np.array([kept.rows, [sequence] * len(kept.rows), kept.positions]))
        tokens = {file: _in_order(np.concatenate(own, axis=1)) for file, own in chosen.items()}
        rows = {file: np.unique(own[0], return_counts=True) for file, own in tokens.items()}
        lengths = np.concatenate([counts for _, counts in rows.values()] or [np.zeros(0, np.int64)])
        _, self._sequences, self._positions = np.concatenate([*tokens.values()] or [_NONE], axis=1)
        self._lengths = torch.from_numpy(lengths) if (lengths > 1).any() else None
        self._places = {file: places for file, (places, _) in rows.items()}
        self._pool = pool
        self.tokens = 0

    def __call__(self, _layer: int, states: Float[Tensor, "B T D"]) -> BFloat16[Tensor, "n D"]:
        """Take the rows out of a layer's states."""
        if not self.tokens:
            self._look_up(states)
        rows = states.reshape(-1, states.shape[2]).index_select(0, self._chosen)
        if self._lengths is not None:
            rows = torch.segment_reduce(rows.float(), self._pool, lengths=self._lengths)
        return rows.to(torch.bfloat16)

    def _look_up(self, states: Float[Tensor, "B T D"]) -> None:
        """Where the rows stand among the pass's tokens: sent to the device once, not in every layer."""
        self.tokens = states.shape[0] * states.shape[1]
        self._chosen = torch.from_numpy(self._sequences * states.shape[1] + self._positions).to(states.device)
        if self._lengths is not None:
            self._lengths = self._lengths.to(states.device)

    def by_file(self, layers: Mapping[int, BFloat16[Tensor, "n D"]]) -> Iterator[Picked]:
        """What was kept of every layer, apart again."""
        start = 0
        for file, places in self._places.items():
            end = start + len(places)
            yield Picked(file, places, {layer: rows[start:end] for layer, rows in layers.items()})
            start = end


def _in_order(tokens: _Tokens) -> _Tokens:
    """By row; those that are pooled into one stay as they follow in the text."""
    return tokens[:, np.argsort(tokens[0], kind="stable")]
