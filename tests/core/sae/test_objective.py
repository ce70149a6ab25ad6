"""Loss and gradients of a batch against the same written densely and differentiated by torch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core.sae.kernels import rounded_product
from core.sae.objective import Objective
from core.sae.penalised import Gated, JumpReLU, ReLU
from core.sae.selection import BatchTopK, Selection, TopK
from core.sae.state import Start, TrainingState, initial_state
from tests.core.sae.dictionary import plant

D, F, K, ALPHA, VARIANCE, PRESSURE = 10, 40, 4, 0.25, 7.0, 0.3
PREFIXES = (10, 20, 40)
Code = tuple[Tensor, Tensor]  # the code, and the penalty's part of the loss
Dense = Callable[[dict[str, Tensor], Tensor], Code]


def _state(selection: Selection) -> tuple[TrainingState, Tensor]:
    _, x = plant(D, 20, 64, 3)
    state = initial_state(x / 3, None, selection, Start(F, K, seed=3))
    state.controls.pressure = PRESSURE
    generator = torch.Generator().manual_seed(4)
    for name, weight in state.weights.items():
        if name not in ("decoder", "b_dec"):
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    selection.restore(state.weights)
    return state, x / 3


def _top_k(weights: dict[str, Tensor], before: Tensor) -> Code:
    top = before.topk(K)
    return torch.zeros_like(before).scatter(1, top.indices, top.values.relu()), before.new_zeros(())


def _batch_top_k(weights: dict[str, Tensor], before: Tensor) -> Code:
    least = before.relu().flatten().topk(K * len(before)).values.min()
    return before * (before >= least), before.new_zeros(())


def _relu(weights: dict[str, Tensor], before: Tensor) -> Code:
    code = before.relu()
    return code, PRESSURE * code.sum() / len(before) / VARIANCE


def _gated(weights: dict[str, Tensor], before: Tensor) -> Code:
    product = before - weights["b_enc"]
    magnitude = product * weights["log_gain"].exp() + weights["b_magnitude"]
    return (before > 0) * magnitude.relu(), PRESSURE * before.relu().sum() / len(before) / VARIANCE


class _Jump(torch.autograd.Function):
    """z · H(z − θ) with the straight-through gradient of Rajamanoharan et al. (2024b), equation 11."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.width = width
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.width / 2).float()
        return grads[0] * (z > threshold), -(threshold / ctx.width * near * grads[0]).sum(0), None


class _Step(torch.autograd.Function):
    """H(z − θ) with its straight-through gradient, equation 12."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.width = width
        return (z > threshold).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.width / 2).float()
        return None, -(near / ctx.width * grads[0]).sum(0), None


def _jump(selection: JumpReLU) -> Dense:
    def dense(weights: dict[str, Tensor], before: Tensor) -> Code:
        threshold = weights["threshold"]
        code = _Jump.apply(before, threshold, selection.bandwidth)
        if selection.penalty == "tanh":
            return code, PRESSURE * torch.tanh(4 * code).sum() / len(before) / VARIANCE
        l0 = _Step.apply(before, threshold, selection.bandwidth).sum() / len(before)
        return code, PRESSURE * (l0 / K - 1).square()

    return dense


WIDE, TANH = (
    JumpReLU(bandwidth=0.3),
    JumpReLU("tanh", bandwidth=0.3),
)  # a kernel wide enough for some entries of so small a batch
CASES: dict[str, tuple[Selection, Dense, tuple[int, ...]]] = {
    "topk": (TopK(), _top_k, ()),
    "batchtopk": (BatchTopK(), _batch_top_k, ()),
    "matryoshka": (BatchTopK(), _batch_top_k, PREFIXES),
    "relu": (ReLU(), _relu, ()),
    "gated": (Gated(), _gated, ()),
    "jumprelu": (WIDE, _jump(WIDE), ()),
    "jumprelu tanh": (TANH, _jump(TANH), ()),
}


def _dense_loss(case: str, state: TrainingState, x: Tensor, dead: Tensor) -> Tensor:
    selection, dense, prefixes = CASES[case]
    weights = state.weights
    before = (x - weights["b_dec"]) @ weights["encoder"].T + weights["b_enc"]
    code, loss = dense(weights, before)
    residual = x
    for end in prefixes or (F,):
        residual = x - (code[:, :end] @ weights["decoder"][:end] + weights["b_dec"])
        loss = loss + residual.square().sum(1).mean() / VARIANCE / (len(prefixes) or 1)
    if isinstance(selection, Gated):
        alone = x - weights["b_dec"].detach() - before.relu() @ weights["decoder"].detach()
        loss = loss + alone.square().sum(1).mean() / VARIANCE
    if not len(dead):
        return loss
    silent = before.detach().clone().fill_(-torch.inf)
    silent = silent.scatter(1, dead.expand(len(x), -1), before[:, dead])
    full = D // 2
    top = silent.topk(min(full, len(dead)))
    aux = torch.zeros_like(before).scatter(1, top.indices, top.values.relu())
    left = residual.detach() - aux @ weights["decoder"]
    return loss + ALPHA * min(full, len(dead)) / full * left.square().sum(1).mean() / VARIANCE


@pytest.mark.parametrize("dead", [[], [7], [0, 3, 8, 11, 12, 20, 31, 39]])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_autograd_of_the_dense_loss(case: str, dead: list[int]) -> None:
    selection, _, prefixes = CASES[case]
    state, x = _state(selection)
    silent = torch.tensor(dead, dtype=torch.int64)
    for rows in (x, x[:1]):  # one row of a few features is not sparse: it takes the dense way
        ours = Objective(selection, VARIANCE, ALPHA, prefixes)(state, rows, rows, silent, K).gradients
        for weight in state.weights.values():
            weight.requires_grad_()
            weight.grad = None
        _dense_loss(case, state, rows, silent).backward()
        for name, weight in state.weights.items():
            torch.testing.assert_close(ours[name], weight.grad, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
            weight.requires_grad_(False)


@pytest.mark.parametrize("case", CASES)
def test_a_gpus_rounded_products_turn_no_gradient(case: str) -> None:
    selection, _, prefixes = CASES[case]
    state, x = _state(selection)
    dead = torch.tensor([0, 3, 8])
    exact, rounded = (
        Objective(selection, VARIANCE, ALPHA, prefixes, rounds)(state, x, x, dead, K).gradients
        for rounds in (False, True)
    )
    for name, gradient in exact.items():
        assert not torch.equal(rounded[name], gradient), name
        assert torch.cosine_similarity(rounded[name].flatten(), gradient.flatten(), dim=0) > 0.98, name


def test_rounded_factors_move_no_activation_by_a_tenth_of_jumprelus_kernel() -> None:
    """Which is what lets a GPU round them there too; rounding the product itself would, from 4 on."""
    d_model = 2560
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, d_model, generator=generator)
    encoder = torch.nn.functional.normalize(torch.randn(512, d_model, generator=generator), dim=1)
    moved = rounded_product(x, encoder.T) - x @ encoder.T
    assert 10 * moved.std() < JumpReLU().bandwidth


@pytest.mark.parametrize("case", CASES)
def test_fired_features_are_those_with_a_positive_activation(case: str) -> None:
    selection, dense, prefixes = CASES[case]
    state, x = _state(selection)
    outcome = Objective(selection, VARIANCE, 0.0, prefixes)(state, x, x, torch.empty(0, dtype=torch.int64), K)
    before = (x - state.weights["b_dec"]) @ state.weights["encoder"].T + state.weights["b_enc"]
    code, _ = dense(state.weights, before)
    assert torch.equal(outcome.fired, (code > 0).any(0))
    torch.testing.assert_close(outcome.l0, (code > 0).sum() / len(x))


@pytest.mark.parametrize("case", CASES)
def test_the_exported_autoencoder_codes_as_the_trained_one(case: str) -> None:
    selection, dense, _ = CASES[case]
    state, x = _state(selection)
    before = (x - state.weights["b_dec"]) @ state.weights["encoder"].T + state.weights["b_enc"]
    code, _ = dense(state.weights, before)
    if isinstance(selection, BatchTopK):
        state.controls.threshold = float(code[code > 0].min()) * (1 - 1e-6)
    sae = state.export(selection, K, (3.0, 3.0), state.controls)
    expected = (code @ state.weights["decoder"] + state.weights["b_dec"]) * 3
    torch.testing.assert_close(sae(x * 3), expected)
    found = sae.encode(x * 3)
    torch.testing.assert_close(torch.zeros(len(x), F).scatter_add(1, found.indices, found.values), code * 3)
