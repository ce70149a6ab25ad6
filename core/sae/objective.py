"""The loss of one batch and its gradients by hand: reconstruction, the penalty for density, AuxK for dead features."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.sae.kernels import Active, Weighted, code_gradient, decode, gather_by_feature, sum_by_feature, top_k
from core.sae.penalised import Gated
from core.sae.selection import Batch, Parameters, Selection, Slopes
from core.sae.state import TrainingState


class Outcome(NamedTuple):
    """What a batch gave; the figures stay tensors, for reading one out makes a GPU wait."""

    gradients: Parameters
    fired: Bool[Tensor, " F"]
    fvu: Float[Tensor, ""]
    extra: Float[Tensor, ""]
    l0: Float[Tensor, ""]


class _Rebuilt(NamedTuple):
    """The residual [B, D] of the whole dictionary, and ∂loss/∂x̂ of what each entry adds to, [P·B, D]."""

    residual: Float[Tensor, "B D"]
    g: Float[Tensor, "R D"]
    squares: Float[Tensor, ""]


@dataclass(frozen=True)
class Objective:
    """‖y − x̂‖² + penalty + auxk_alpha · AuxK, all in units of `variance` = E‖y − E y‖² so that layers compare.

    `prefixes` are the numbers of features of nested dictionaries that each have to rebuild the row by themselves, the
    last being all (Matryoshka: Bussmann et al. 2025, arXiv 2503.17547); their squared errors are averaged.
    """

    selection: Selection
    variance: float
    auxk_alpha: float
    prefixes: tuple[int, ...] = ()

    def __call__(
        self, state: TrainingState, x: Float[Tensor, "B D"], y: Float[Tensor, "B O"], dead: Int[Tensor, " d"], k: int
    ) -> Outcome:
        """Loss and gradients on a batch of normalised rows `x` that should give `y` (an autoencoder's own rows).

        `dead` names the features that have fallen silent, `k` is how many should fire.
        """
        weights = state.weights
        centred = x - state.b_in
        batch = Batch(_product(centred, weights), weights, k, 1 / (len(x) * self.variance))
        active = _nest(self.selection.select(batch, state.controls), self.prefixes, len(x))
        rebuilt = self._rebuild(active, weights["decoder"], y - weights["b_dec"], batch.unit)
        d_values = code_gradient(active, weights["decoder"], rebuilt.g)
        slopes = self.selection.slopes(batch, active, d_values, state.controls)
        if isinstance(self.selection, Gated):
            slopes = _gate_too(self.selection, state, batch, active, slopes, y)
        gradients = _gradients(active, slopes, rebuilt.g, centred, weights)
        if state.tied:  # b_dec is also what the encoder's input is centred by
            pulled = sum_by_feature(active, len(weights["encoder"]), slopes.linear)
            gradients["b_dec"] -= pulled @ weights["encoder"]
        auxk = self._revive(gradients, state, centred, batch, rebuilt.residual, dead)
        fired = sum_by_feature(active, len(weights["encoder"]), active.values) > 0
        l0 = (active.values > 0).sum() / len(x)
        return Outcome(gradients, fired, rebuilt.squares * batch.unit, slopes.penalty + auxk, l0)

    def _rebuild(
        self, active: Active, decoder: Float[Tensor, "F O"], target: Float[Tensor, "B O"], unit: float
    ) -> _Rebuilt:
        parts = len(self.prefixes) or 1
        added = decode(active, decoder, parts * len(target)).view(parts, *target.shape)
        residuals = target - added.cumsum(0)
        # What a feature adds is in every prefix from its own on: their gradients sum from the last one back.
        g = (residuals * (-2 * unit / parts)).flip(0).cumsum(0).flip(0)
        return _Rebuilt(residuals[-1], g.reshape(-1, target.shape[1]), residuals[-1].square().sum())

    def _revive(
        self,
        gradients: Parameters,
        state: TrainingState,
        centred: Float[Tensor, "B D"],
        batch: Batch,
        residual: Float[Tensor, "B O"],
        dead: Int[Tensor, " d"],
    ) -> Float[Tensor, ""]:
        if not len(dead) or self.auxk_alpha == 0:
            return residual.new_zeros(())
        aux = _auxk(state.weights["decoder"][dead], centred, batch.before[:, dead], residual)
        weight = self.auxk_alpha * batch.unit * aux.share
        for name, gradient in (("encoder", aux.encoder), ("decoder", aux.decoder), ("b_enc", aux.b_enc)):
            gradients[name].index_add_(0, dead, gradient, alpha=weight)
        if state.tied:
            gradients["b_dec"] -= weight * (aux.b_enc @ state.weights["encoder"][dead])
        return aux.squares * weight


def _product(centred: Float[Tensor, "B D"], weights: Parameters) -> Float[Tensor, "B F"]:
    """The encoder's dense product; on a GPU in bfloat16, the weights themselves staying float32."""
    if centred.device.type == "cpu":
        return torch.addmm(weights["b_enc"], centred, weights["encoder"].T)
    return (centred.bfloat16() @ weights["encoder"].bfloat16().T).float() + weights["b_enc"]


def _nest(active: Active, prefixes: tuple[int, ...], rows: int) -> Active:
    """The entries by prefix and row: a row of each prefix's own features is a row of its own."""
    if not prefixes:
        return active
    ends = torch.tensor(prefixes, device=active.features.device)
    key = torch.bucketize(active.features, ends, right=True) * rows + active.rows
    key, order = torch.sort(key, stable=True)
    return Active(key, active.features[order], active.values[order])


def _gradients(
    active: Active, slopes: Slopes, g: Float[Tensor, "R O"], centred: Float[Tensor, "B D"], weights: Parameters
) -> Parameters:
    features = len(weights["encoder"])
    encoder, decoder = gather_by_feature(
        active,
        features,
        Weighted(centred, active.rows % len(centred), slopes.linear),
        Weighted(g, active.rows, active.values),
    )
    own = {name: sum_by_feature(active, features, values) for name, values in slopes.by_feature.items()}
    return {"encoder": encoder, "decoder": decoder, "b_dec": g[: len(centred)].sum(0), **own}


def _gate_too(
    gated: Gated, state: TrainingState, batch: Batch, active: Active, slopes: Slopes, y: Float[Tensor, "B O"]
) -> Slopes:
    """The gate's own reconstruction of the row, which moves neither decoder nor b_dec."""
    decoder = state.weights["decoder"]
    gate = gated.auxiliary(batch, active)
    left = y - state.weights["b_dec"] - decode(gate, decoder, len(y))
    d_gate = code_gradient(gate, decoder, left * (-2 * batch.unit))
    return gated.with_gate(batch, active, slopes, d_gate, state.controls)


class _AuxK(NamedTuple):
    encoder: Float[Tensor, "d D"]
    decoder: Float[Tensor, "d O"]
    b_enc: Float[Tensor, " d"]
    squares: Float[Tensor, ""]
    share: float


def _auxk(
    rows: Float[Tensor, "d O"],
    centred: Float[Tensor, "B D"],
    before: Float[Tensor, "B d"],
    residual: Float[Tensor, "B O"],
) -> _AuxK:
    """Squared error, and its gradients, of the dead features' attempt at the residual (Gao et al. 2024, A.2).

    The strongest D/2 dead features of each row take part; while fewer are dead, the loss counts in proportion. Dense
    over the dead features alone: a dense product over them is cheaper than gathering D/2 rows for each row.
    """
    full = max(1, residual.shape[1] // 2)
    k = min(full, len(rows))
    values, indices = top_k(before, k)
    code = torch.zeros_like(before).scatter_(1, indices, values.relu())
    left = residual - code @ rows
    g = -2 * left
    d_code = (g @ rows.T) * (code > 0)
    return _AuxK(d_code.T @ centred, code.T @ g, d_code.sum(0), left.square().sum(), k / full)
