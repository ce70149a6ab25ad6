"""Clean residual streams of batches that are read at one layer after another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from core.lm.batches import TokenBatch
from core.lm.loaded import LoadedModel
from core.lm.patched import clean_run, stream_from

KEPT_BYTES = 1 << 30
"""Most that is kept of a set of batches: 25 passes of 4096 tokens through gemma-3-4b-it in float32."""


class CleanStreams:
    """The clean stream of some batches after any layer, to the bit as a run of its own gives it.

    Each batch's stream is kept where it was read last, as far as `limit` bytes go, and higher layers continue from
    there: layers read in ascending order cost one forward pass in all. A lower layer is run from the start.
    """

    def __init__(self, loaded: LoadedModel, batches: Sequence[TokenBatch], limit: int = KEPT_BYTES) -> None:
        self._loaded, self._batches, self._limit = loaded, tuple(batches), limit
        self._kept: dict[int, tuple[int, Tensor]] = {}

    def after(self, layer: int) -> list[Float[Tensor, "B T D"]]:
        """The stream after block `layer`, batch by batch."""
        return [self._after(number, layer) for number in range(len(self._batches))]

    def _after(self, number: int, layer: int) -> Float[Tensor, "B T D"]:
        before, stream = self._kept.pop(number, (layer + 1, torch.empty(0)))
        if before > layer:
            stream = clean_run(self._loaded, self._batches[number], [layer])[layer]
        elif before < layer:
            stream = stream_from(self._loaded, self._batches[number], before, stream, layer)
        if stream.nbytes + sum(kept.nbytes for _, kept in self._kept.values()) <= self._limit:
            self._kept[number] = (layer, stream)
        return stream
