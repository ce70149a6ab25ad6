"""The loss of one batch and its gradients by hand: reconstruction, the penalty for density, AuxK for dead features."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.sae.kernels import Active, ByFeature, decode, rounded_product, top_k
from core.sae.penalised import Gated
from core.sae.selection import Batch, Controls, Parameters, Selection, Slopes
from core.sae.state import TrainingState

_PORTION = 2048
"""Rows encoded at once where rows are independent: enough to keep the product at its full speed on a CPU, and half the
memory of a batch of 4096."""
_GPU_PORTION = 2**27
"""Numbers that a GPU encodes at once, 0.5 GB: halves of a batch of 4096 x 20480 take a fifth longer than the whole."""


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
    `rounds` says whether the dense products, of the encoder and of AuxK, take their factors in bfloat16, as a GPU does.
    """

    selection: Selection
    variance: float
    auxk_alpha: float
    prefixes: tuple[int, ...] = ()
    rounds: bool = False
    buffer: list[Float[Tensor, "b F"]] = field(default_factory=list)

    def __call__(
        self, state: TrainingState, x: Float[Tensor, "B D"], y: Float[Tensor, "B O"], dead: Int[Tensor, " d"], k: int
    ) -> Outcome:
        """Loss and gradients on a batch of normalised rows `x` that should give `y` (an autoencoder's own rows).

        `dead` names the features that have fallen silent, `k` is how many should fire.
        """
        weights = state.weights
        centred = x - state.b_in
        batch, found, silent = self._encode(centred, state, dead, k)
        active = _nest(found, self.prefixes, len(x))
        target = centred if state.tied else y - weights["b_dec"]
        rebuilt = self._rebuild(active, weights["decoder"], target, batch.unit)
        sorted_ = ByFeature.of(active, len(weights["encoder"]))
        d_values = sorted_.code_gradient(weights["decoder"], rebuilt.g)
        slopes = self.selection.slopes(batch, sorted_.active, d_values, state.controls)
        if isinstance(self.selection, Gated):
            slopes = _gate_too(self.selection, state.controls, batch, sorted_, slopes, target)
        gradients = _gradients(sorted_, slopes, rebuilt.g, centred, state.decoder_frozen)
        if state.tied:  # b_dec is also what the encoder's input is centred by
            gradients["b_dec"] -= sorted_.sum(slopes.linear) @ weights["encoder"]
        auxk = self._revive(gradients, state, centred, _Silent(dead, silent, batch.unit), rebuilt.residual)
        fired = sorted_.sum(sorted_.active.values) > 0
        l0 = (active.values > 0).sum() / len(x)
        return Outcome(gradients, fired, rebuilt.squares * batch.unit, slopes.penalty + auxk, l0)

    def _encode(
        self, centred: Float[Tensor, "B D"], state: TrainingState, dead: Int[Tensor, " d"], k: int
    ) -> tuple[Batch, Active, Float[Tensor, "B d"]]:
        """What fires, and the encoder's output for the dead; where rows are independent, a portion of them at once."""
        weights, unit = state.weights, 1 / (len(centred) * self.variance)
        if not self.selection.by_row:
            batch = Batch(self._product(centred, weights), weights, k, unit)
            return batch, self.selection.select(batch, state.controls), batch.before[:, dead]
        found, silent = [], []
        size = _PORTION if centred.device.type == "cpu" else max(_PORTION, _GPU_PORTION // len(weights["encoder"]))
        for start in range(0, len(centred), size):
            batch = Batch(self._product(centred[start : start + size], weights), weights, k, unit)
            active = self.selection.select(batch, state.controls)
            found.append(active._replace(rows=active.rows + start))
            silent.append(batch.before[:, dead])
        return batch, Active(*(torch.cat(parts) for parts in zip(*found, strict=True))), torch.cat(silent)

    def _product(self, centred: Float[Tensor, "b D"], weights: Parameters) -> Float[Tensor, "b F"]:
        """The encoder's dense product, valid until the next; in float32 it is written over the last one, for a fresh
        matrix per batch costs a seventh of the product in page faults on a CPU."""
        encoder, b_enc = weights["encoder"], weights["b_enc"]
        if self.rounds:
            return rounded_product(centred, encoder.T).add_(b_enc)
        if not self.buffer or self.buffer[0].shape[0] < len(centred):
            self.buffer[:] = [centred.new_empty(len(centred), len(encoder))]
        return torch.addmm(b_enc, centred, encoder.T, out=self.buffer[0][: len(centred)])

    def _rebuild(
        self, active: Active, decoder: Float[Tensor, "F O"], target: Float[Tensor, "B O"], unit: float
    ) -> _Rebuilt:
        if not self.prefixes:
            residual = target - decode(active, decoder, len(target))
            return _Rebuilt(residual, residual * (-2 * unit), _squares(residual))
        parts = len(self.prefixes)
        added = decode(active, decoder, parts * len(target)).view(parts, *target.shape)
        residuals = target - added.cumsum(0)
        # What a feature adds is in every prefix from its own on: their gradients sum from the last one back.
        g = (residuals * (-2 * unit / parts)).flip(0).cumsum(0).flip(0)
        return _Rebuilt(residuals[-1], g.reshape(-1, target.shape[1]), _squares(residuals[-1]))

    def _revive(
        self,
        gradients: Parameters,
        state: TrainingState,
        centred: Float[Tensor, "B D"],
        silent: "_Silent",
        residual: Float[Tensor, "B O"],
    ) -> Float[Tensor, ""]:
        dead = silent.dead
        if not len(dead) or self.auxk_alpha == 0:
            return residual.new_zeros(())
        product = rounded_product if self.rounds else torch.mm
        aux = _auxk(state.weights["decoder"][dead], centred, silent.before, residual, product)
        weight = self.auxk_alpha * silent.unit * aux.share
        gradients["encoder"].index_add_(0, dead, aux.encoder, alpha=weight)
        gradients["b_enc"].index_add_(0, dead, aux.b_enc, alpha=weight)
        if not state.decoder_frozen:
            gradients["decoder"].index_add_(0, dead, product(aux.code.T, aux.g), alpha=weight)
        if state.tied:
            gradients["b_dec"] -= weight * (aux.b_enc @ state.weights["encoder"][dead])
        return aux.squares * weight


def _squares(x: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    flat = x.reshape(-1)
    return torch.dot(flat, flat)


class _Silent(NamedTuple):
    """The dead features, the encoder's output for them, and the loss of one squared unit."""

    dead: Int[Tensor, " d"]
    before: Float[Tensor, "B d"]
    unit: float


def _nest(active: Active, prefixes: tuple[int, ...], rows: int) -> Active:
    """The entries by prefix and row: a row of each prefix's own features is a row of its own."""
    if not prefixes:
        return active
    ends = torch.tensor(prefixes, device=active.features.device)
    key = torch.bucketize(active.features, ends, right=True) * rows + active.rows
    key, order = torch.sort(key, stable=True)
    return Active(key, active.features[order], active.values[order])


def _gradients(
    entries: ByFeature, slopes: Slopes, g: Float[Tensor, "R O"], centred: Float[Tensor, "B D"], frozen: bool
) -> Parameters:
    rows, _, values = entries.active
    nested = len(g) > len(centred)  # then a row of each prefix stands for one of the batch
    own = {name: entries.sum(parts) for name, parts in slopes.by_feature.items()}
    decoder = {} if frozen else {"decoder": entries.gather(g, rows, values)}
    return {
        "encoder": entries.gather(centred, rows % len(centred) if nested else rows, slopes.linear),
        **decoder,
        "b_dec": g[: len(centred)].sum(0),
        **own,
    }


def _gate_too(
    gated: Gated, controls: Controls, batch: Batch, entries: ByFeature, slopes: Slopes, target: Float[Tensor, "B O"]
) -> Slopes:
    """The gate's own reconstruction of the row, which moves neither decoder nor b_dec."""
    decoder = batch.weights["decoder"]
    rows, order = torch.sort(entries.active.rows, stable=True)
    gate = gated.auxiliary(batch, Active(rows, entries.active.features[order], entries.active.values[order]))
    left = target - decode(gate, decoder, len(target))
    d_gate = entries.code_gradient(decoder, left * (-2 * batch.unit))
    return gated.with_gate(batch, entries.active, slopes, d_gate, controls)


class _AuxK(NamedTuple):
    encoder: Float[Tensor, "d D"]
    b_enc: Float[Tensor, " d"]
    code: Float[Tensor, "B d"]
    g: Float[Tensor, "B O"]
    squares: Float[Tensor, ""]
    share: float


def _auxk(
    rows: Float[Tensor, "d O"],
    centred: Float[Tensor, "B D"],
    before: Float[Tensor, "B d"],
    residual: Float[Tensor, "B O"],
    product: Callable[[Tensor, Tensor], Tensor],
) -> _AuxK:
    """Squared error, and its gradients, of the dead features' attempt at the residual (Gao et al. 2024, A.2).

    The decoder's gradient is codeᵀ g, which a frozen one does not need.

    The strongest D/2 dead features of each row take part; while fewer are dead, the loss counts in proportion. Dense
    over the dead features alone: a dense product over them is cheaper than gathering D/2 rows for each row.
    """
    full = max(1, residual.shape[1] // 2)
    k = min(full, len(rows))
    code = before.relu() if k == len(rows) else _strongest(before, k)
    left = residual - product(code, rows)
    g = -2 * left
    d_code = product(g, rows.T) * (code > 0)
    return _AuxK(product(d_code.T, centred), d_code.sum(0), code, g, left.square().sum(), k / full)


def _strongest(before: Float[Tensor, "B d"], k: int) -> Float[Tensor, "B d"]:
    values, indices = top_k(before, k)
    return torch.zeros_like(before).scatter_(1, indices, values.relu())
