"""Loss and gradients of a batch against the same written densely and differentiated by torch."""

import pytest
import torch

from core.sae.objective import Objective
from core.sae.state import TrainingState, initial_state
from tests.core.sae.dictionary import plant

D, F, K, ALPHA, VARIANCE = 10, 40, 4, 0.25, 7.0


def _state() -> tuple[TrainingState, torch.Tensor]:
    _, x = plant(D, 20, 64, 3)
    state = initial_state(x / 3, F, K, seed=3)
    generator = torch.Generator().manual_seed(4)
    state.encoder += 0.3 * torch.randn(F, D, generator=generator)
    state.b_enc += 0.3 * torch.randn(F, generator=generator)
    return state, x / 3


def _dense_loss(state: TrainingState, x: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    centred = x - state.b_dec
    before = centred @ state.encoder.T + state.b_enc
    top = before.topk(K)
    code = torch.zeros_like(before).scatter(1, top.indices, top.values.relu())
    residual = x - (code @ state.decoder + state.b_dec)
    loss = residual.square().sum(1).mean() / VARIANCE
    if not len(dead):
        return loss
    silent = before.detach().clone().fill_(-torch.inf)
    silent = silent.scatter(1, dead.expand(len(x), -1), before[:, dead])
    full = D // 2
    top = silent.topk(min(full, len(dead)))
    aux = torch.zeros_like(before).scatter(1, top.indices, top.values.relu())
    left = residual.detach() - aux @ state.decoder
    return loss + ALPHA * min(full, len(dead)) / full * left.square().sum(1).mean() / VARIANCE


@pytest.mark.parametrize("dead", [[], [7], [0, 3, 8, 11, 12, 20, 31, 39]])
def test_gradients_equal_autograd_of_the_dense_loss(dead: list[int]) -> None:
    state, x = _state()
    silent = torch.tensor(dead, dtype=torch.int64)
    outcome = Objective(K, VARIANCE, ALPHA)(state, x, silent)
    for weight in state.weights:
        weight.requires_grad_()
    loss = _dense_loss(state, x, silent)
    loss.backward()
    torch.testing.assert_close(outcome.fvu + outcome.auxk, loss.detach())
    for ours, weight in zip(outcome.gradients, state.weights):
        torch.testing.assert_close(ours, weight.grad, rtol=1e-4, atol=1e-6)


def test_fired_features_are_those_with_a_positive_activation() -> None:
    state, x = _state()
    outcome = Objective(K, VARIANCE, 0.0)(state, x, torch.empty(0, dtype=torch.int64))
    top = ((x - state.b_dec) @ state.encoder.T + state.b_enc).topk(K)
    fired = torch.zeros(F, dtype=torch.bool)
    fired[top.indices[top.values > 0]] = True
    assert torch.equal(outcome.fired, fired)
    torch.testing.assert_close(outcome.l0, (top.values > 0).sum() / len(x))
