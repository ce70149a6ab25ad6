"""The loss of one batch and its gradients by hand: reconstruction, and AuxK for dead features."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.sae.kernels import sparse_decode, sparse_gradients, top_k
from core.sae.state import TrainingState


class Gradients(NamedTuple):
    """Gradients in the order of the state's weights."""

    encoder: Float[Tensor, "F D"]
    decoder: Float[Tensor, "F D"]
    b_enc: Float[Tensor, " F"]
    b_dec: Float[Tensor, " D"]


class Outcome(NamedTuple):
    """What a batch gave; the figures stay tensors, for reading one out makes a GPU wait."""

    gradients: Gradients
    fired: Bool[Tensor, " F"]
    fvu: Float[Tensor, ""]
    auxk: Float[Tensor, ""]
    l0: Float[Tensor, ""]


@dataclass(frozen=True)
class Objective:
    """‖x − x̂‖² + auxk_alpha · AuxK, both in units of `variance` = E‖x − E x‖² so that layers compare."""

    k: int
    variance: float
    auxk_alpha: float

    def __call__(self, state: TrainingState, x: Float[Tensor, "B D"], dead: Int[Tensor, " d"]) -> Outcome:
        """Loss and gradients on a batch of normalised rows, `dead` naming the features that have fallen silent."""
        centred = x - state.b_dec
        before = torch.addmm(state.b_enc, centred, state.encoder.T)
        values, indices = top_k(before, self.k)
        code = (values.relu_(), indices)
        residual = centred - sparse_decode(indices, values, state.decoder)
        unit = 1 / (len(x) * self.variance)
        g = residual * (-2 * unit)
        encoder, decoder, b_enc = sparse_gradients(centred, code, state.decoder, g)
        auxk = x.new_zeros(())
        if len(dead) and self.auxk_alpha > 0:
            aux = _auxk(state, centred, before[:, dead], residual, dead)
            weight = self.auxk_alpha * unit * aux.share
            encoder.index_add_(0, dead, aux.encoder, alpha=weight)
            decoder.index_add_(0, dead, aux.decoder, alpha=weight)
            b_enc.index_add_(0, dead, aux.b_enc, alpha=weight)
            auxk = aux.squares * weight
        fired = torch.zeros_like(b_enc).index_add_(0, indices.view(-1), values.view(-1)) > 0
        b_dec = g.sum(0) - b_enc @ state.encoder  # through x̂, and through the encoder's input
        l0 = (values > 0).sum() / len(x)
        return Outcome(Gradients(encoder, decoder, b_enc, b_dec), fired, residual.square().sum() * unit, auxk, l0)


class _AuxK(NamedTuple):
    encoder: Float[Tensor, "d D"]
    decoder: Float[Tensor, "d D"]
    b_enc: Float[Tensor, " d"]
    squares: Float[Tensor, ""]
    share: float


def _auxk(
    state: TrainingState,
    centred: Float[Tensor, "B D"],
    before: Float[Tensor, "B d"],
    residual: Float[Tensor, "B D"],
    dead: Int[Tensor, " d"],
) -> _AuxK:
    """Squared error, and its gradients, of the dead features' attempt at the residual (Gao et al. 2024, A.2).

    The strongest D/2 dead features of each row take part; while fewer are dead, the loss counts in proportion. Dense
    over the dead features alone: a dense product over them is cheaper than gathering D/2 rows for each row.
    """
    full = max(1, residual.shape[1] // 2)
    k = min(full, len(dead))
    values, indices = top_k(before, k)
    code = torch.zeros_like(before).scatter_(1, indices, values.relu())
    rows = state.decoder[dead]
    left = residual - code @ rows
    g = -2 * left
    d_code = (g @ rows.T) * (code > 0)
    return _AuxK(d_code.T @ centred, code.T @ g, d_code.sum(0), left.square().sum(), k / full)
