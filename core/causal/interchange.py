"""The residual stream of another run, the donor's, in line with a run's own and put in its place.

Interchange intervention: Geiger et al. 2021 (arXiv 2106.02997). The other run is the donor: the same words behind the
twin's picture, or behind another picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.causal.pairs import MinimalPair
from core.causal.runs import PairRuns, forked_batch
from core.lm.batches import TokenBatch
from core.lm.loaded import LoadedModel
from core.lm.streams import CleanStreams


def aligned(own: Sequence[int], donor: Sequence[int]) -> list[int]:
    """For each token of a sequence, where in the donor's its counterpart stands; −1 where it has none.

    The tokens that both begin with are paired in order; from the first that differs on, pairs are counted from the end:
    a word's last token is the one that has read all of it, and what follows the word is the same in both.
    """
    shorter = min(len(own), len(donor))
    start = next((place for place in range(shorter) if own[place] != donor[place]), shorter)
    shift = len(donor) - len(own)
    return [place if place < start else place + shift if place + shift >= start else -1 for place in range(len(own))]


@dataclass(frozen=True)
class Donated:
    """A donor's clean stream in line with the rows of a batch, and where it has a row at all."""

    stream: Float[Tensor, "B T D"]
    known: Bool[Tensor, "B T"]

    def into(self, stream: Float[Tensor, "B T D"], chosen: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """A stream with the donor's rows at the positions chosen, wherever the donor has them."""
        return torch.where((chosen & self.known)[..., None], self.stream.to(stream.dtype), stream)


class Donors:
    """The donors of some pairs, one per pair, batched as the pairs are."""

    def __init__(self, loaded: LoadedModel, runs: PairRuns, donors: Sequence[MinimalPair]) -> None:
        batches = runs.batches()
        own = [batch for _, batch in batches]
        other = [forked_batch(loaded, [donors[index] for index in some])[0] for some, _ in batches]
        self._streams = CleanStreams(loaded, other)
        self._places = [_places(mine, theirs) for mine, theirs in zip(own, other, strict=True)]

    def after(self, layer: int) -> list[Donated]:
        """The donors' streams after block `layer`, portion by portion."""
        streams = zip(self._streams.after(layer), self._places, strict=True)
        return [Donated(_gathered(stream, places), places >= 0) for stream, places in streams]


def _places(own: TokenBatch, donor: TokenBatch) -> Int[Tensor, "B T"]:
    found = torch.full(own.input_ids.shape, -1, dtype=torch.int64)
    for row in range(len(own)):
        mine, theirs = (batch.input_ids[row, : int(batch.lengths[row])].tolist() for batch in (own, donor))
        found[row, : len(mine)] = torch.tensor(aligned(mine, theirs))
    return found.to(own.input_ids.device)


def _gathered(stream: Float[Tensor, "B S D"], places: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    rows = torch.arange(len(places), device=places.device)[:, None]
    return stream[rows, places.clamp(min=0)]
