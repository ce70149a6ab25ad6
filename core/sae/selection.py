"""Which features fire while an autoencoder is trained, and what that passes back: one class an architecture.

Every class takes the encoder's output for a batch and gives the active entries; given ∂loss/∂value of each entry it
gives the gradients of the encoder's output and of the parameters that are its own. In all of them `k` is the number of
active features per row aimed at: exactly, on average over the batch, or by a penalty whose weight is steered towards
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from core.sae.kernels import Active, top_k, where

Parameters = dict[str, Tensor]


@dataclass
class Controls:
    """What is steered from batch to batch: BatchTopK's `threshold`, above which features fired, and the penalties'
    weight `pressure`."""

    threshold: float = 0.0
    pressure: float = 0.0


class Slopes(NamedTuple):
    """∂loss by entry: of the encoder's product, and of [F] parameters by name; `penalty` is the loss's own part."""

    linear: Float[Tensor, " n"]
    by_feature: dict[str, Float[Tensor, " n"]]
    penalty: float | Float[Tensor, ""] = 0.0


class Batch(NamedTuple):
    """The encoder's output [B, F] for a batch, the trained parameters, `k` for this step, and the loss of one squared
    unit, 1 / (B · variance)."""

    before: Float[Tensor, "B F"]
    weights: Parameters
    k: int
    unit: float

    def at(self, active: Active) -> Float[Tensor, " n"]:
        """The encoder's output at the entries; rows of nested prefixes repeat those of the batch."""
        size, width = self.before.shape
        return self.before.reshape(-1)[active.rows % size * width + active.features]


class Firing(NamedTuple):
    """How a trained autoencoder decides: the `k` strongest, or all above a `threshold` [F]; the encoder's product is
    multiplied by `gain` [F] first where there is one, and `b_enc` is its bias."""

    b_enc: Float[Tensor, " F"]
    k: int | None = None
    threshold: Float[Tensor, " F"] | None = None
    gain: Float[Tensor, " F"] | None = None


class Selection(Protocol):
    """One architecture's way to decide which features fire.

    `by_row` says that every row is decided by itself, and that only its active entries count afterwards; `revival` is
    how many times `auxk_alpha` AuxK counts.
    """

    by_row: ClassVar[bool]
    revival: ClassVar[float]

    def start(self) -> Controls:
        """What is steered, as it starts."""

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """The [F] parameters beside `b_enc`, as they start; `before` is the encoder's first output on some rows."""

    def select(self, batch: Batch, controls: Controls) -> Active:
        """The entries that fire, or might."""

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """Pass ∂loss/∂value back, and add the penalty's part."""

    def steer(self, controls: Controls, l0: Float[Tensor, ""], k: int, total: int) -> None:
        """Adapt what is steered after a batch of `l0` active features per row; `total` steps in all."""

    @property
    def paces(self) -> Mapping[str, float]:
        """How many times Adam's rate the parameters learn at that have a rate of their own."""

    def restore(self, weights: Parameters) -> None:
        """Bring its own parameters back into their bounds after a step."""

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """How the trained autoencoder decides, in normalised units."""


@dataclass(frozen=True)
class TopK:
    """The k strongest of each row (Gao et al. 2024, arXiv 2406.04093)."""

    by_row: ClassVar[bool] = True
    revival: ClassVar[float] = 1.0

    def start(self) -> Controls:
        """Nothing is steered."""
        return Controls()

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """Nothing."""
        return {}

    def select(self, batch: Batch, controls: Controls) -> Active:
        """The k strongest, through relu."""
        values, indices = top_k(batch.before, batch.k)
        rows = torch.arange(len(values), device=values.device).repeat_interleave(values.shape[1])
        return Active(rows, indices.reshape(-1), values.relu_().reshape(-1))

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """What relu closed passes nothing."""
        linear = d_values * (active.values > 0)
        return Slopes(linear, {"b_enc": linear})

    def steer(self, controls: Controls, l0: Float[Tensor, ""], k: int, total: int) -> None:
        """Nothing."""

    @property
    def paces(self) -> Mapping[str, float]:
        """All alike."""
        return {}

    def restore(self, weights: Parameters) -> None:
        """Nothing."""

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """Top k."""
        return Firing(weights["b_enc"], k=k)


@dataclass(frozen=True)
class BatchTopK(TopK):
    """The B·k strongest of the batch (Bussmann et al. 2024, arXiv 2412.06410).

    Afterwards, all above one threshold: theirs is the mean of the batches' weakest, which in a short run is that of
    weights long past; here the trainer sets it where k features fire on a sample of training rows.
    """

    by_row: ClassVar[bool] = False

    def select(self, batch: Batch, controls: Controls) -> Active:
        """The B·k strongest positive entries."""
        before, count = batch.before, batch.k * len(batch.before)
        flat = before.reshape(-1)
        places = where(before > 0.8 * controls.threshold)  # the last threshold spares a search through all
        if len(places) < count:
            places = where(before > 0)
        if len(places) > count:
            places = places[torch.topk(flat[places], count, sorted=False).indices].sort().values
        values = flat[places]
        controls.threshold = float(values.min()) if len(values) else 0.0
        return entries(places, values, before.shape[1])

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """Every entry is positive."""
        return Slopes(d_values, {"b_enc": d_values})

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """All from the threshold on."""
        bias = weights["b_enc"]
        return Firing(bias, threshold=torch.full_like(bias, controls.threshold * (1 - 1e-6)))


def entries(places: Tensor, values: Float[Tensor, " n"], width: int) -> Active:
    """The active entries at ascending places of the flattened [B, F] code."""
    rows = torch.div(places, width, rounding_mode="floor")
    return Active(rows, places - rows * width, values)
