"""Architectures that a penalty keeps sparse, its weight steered towards `k` active features per row, or fixed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from core.sae.kernels import Active, top_k, where
from core.sae.schedule import Schedule
from core.sae.selection import Batch, BatchTopK, Controls, Firing, Parameters, Selection, Slopes, TopK, entries
from core.study.sae import SAEConfig

_BANDWIDTH = 0.05
"""Width of JumpReLU's straight-through kernel for rows whose mean squared norm is D: what 0.001 for rows of unit norm
(Rajamanoharan et al. 2024b, section 5) comes to at their width of 2304, and SAELens' default."""
_START, _LEAST_START = 32, 0.01
"""JumpReLU's thresholds start where so many times `k` features fire, at most half of them, or at the second."""
_REACH = 1.5
"""How far a threshold can go in a run of any length; pre-activations of a feature that is not there spread by 1."""
_TANH_SCALE = 4.0
"""Steepness of the tanh penalty, for rows whose mean squared norm is D (Conerly et al. 2025, Anthropic)."""
_QUADRATIC = 1.0
"""Weight of JumpReLU's (L0 / k − 1)² beside a FVU of at most 1."""


@dataclass(frozen=True)
class ReLU:
    """Every positive entry, under an L1 penalty; unit decoder rows make it the one that decoder norms weight
    (Conerly et al. 2024, Anthropic's circuits updates).

    Biases start where 2k features fire: from half of all features on, a short run learns a dense dictionary first and
    loses it while the penalty closes it.
    """

    by_row: ClassVar[bool] = False
    revival: ClassVar[float] = 1.0

    def start(self) -> Controls:
        """A penalty that moves an activation by a few per cent; it is steered from there."""
        return Controls(pressure=0.3)

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """The encoder's bias."""
        return {"b_enc": before.new_full((before.shape[1],), -float(_firing_from(before, 2 * k)))}

    def select(self, batch: Batch, controls: Controls) -> Active:
        """All that are positive."""
        places = where(batch.before > 0)
        return entries(places, batch.before.reshape(-1)[places], batch.before.shape[1])

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """The penalty pulls every entry down alike."""
        weight = controls.pressure * batch.unit
        linear = d_values + weight
        return Slopes(linear, {"b_enc": linear}, weight * active.values.sum())

    def steer(self, controls: Controls, l0: Float[Tensor, ""], k: int, total: int) -> None:
        """Move the penalty's weight towards `k` active features per row."""
        _steer(controls, float(l0), k, total)

    @property
    def paces(self) -> Mapping[str, float]:
        """All alike."""
        return {}

    def restore(self, weights: Parameters) -> None:
        """Nothing."""

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """All above 0."""
        return Firing(weights["b_enc"], threshold=torch.zeros_like(weights["b_enc"]))


@dataclass(frozen=True)
class FixedL1(ReLU):
    """The same under a penalty whose weight stays, λ in ‖x − x̂‖² + λ Σ f for rows whose mean squared norm is D; how
    many features fire is what comes of it, and the encoder's biases start at 0."""

    coefficient: float

    def start(self) -> Controls:
        """The weight that stays."""
        return Controls(pressure=self.coefficient)

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """The encoder's bias, 0: there is no `k` to start from."""
        return {"b_enc": before.new_zeros(before.shape[1])}

    def steer(self, controls: Controls, l0: Float[Tensor, ""], k: int, total: int) -> None:
        """Nothing is steered."""


@dataclass(frozen=True)
class Gated(ReLU):
    """A gate decides, a magnitude of its own bias and gain says how much (Rajamanoharan 2024a, arXiv 2404.16014).

    `b_enc` is the gate's bias. The gate learns from its L1 penalty and from rebuilding the row by itself through the
    decoder held still, which the objective adds (`auxiliary`).
    """

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """The gate's bias; gain 1 and the magnitude's own bias."""
        zero = before.new_zeros(before.shape[1])
        return {**super().own(before, k), "log_gain": zero, "b_magnitude": zero.clone()}

    def select(self, batch: Batch, controls: Controls) -> Active:
        """Where the gate is open, the magnitude."""
        places = where(batch.before > 0)
        gate = entries(places, batch.before.reshape(-1)[places], batch.before.shape[1])
        return gate._replace(values=self._magnitude(batch, gate).relu())

    def _product(self, batch: Batch, active: Active) -> Float[Tensor, " n"]:
        return batch.at(active) - batch.weights["b_enc"][active.features]

    def _magnitude(self, batch: Batch, active: Active) -> Float[Tensor, " n"]:
        gain = batch.weights["log_gain"].exp()[active.features]
        return self._product(batch, active) * gain + batch.weights["b_magnitude"][active.features]

    def auxiliary(self, batch: Batch, active: Active) -> Active:
        """The gate's own code, relu(gate)."""
        return active._replace(values=batch.at(active))

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """To the magnitude alone; the gate's slope is what `with_gate` adds."""
        d_magnitude = d_values * (active.values > 0)
        d_product = d_magnitude * batch.weights["log_gain"].exp()[active.features]
        own = {"log_gain": d_product * self._product(batch, active), "b_magnitude": d_magnitude}
        return Slopes(d_product, {"b_enc": torch.zeros_like(d_product), **own})

    def with_gate(
        self, batch: Batch, active: Active, slopes: Slopes, d_gate: Float[Tensor, " n"], controls: Controls
    ) -> Slopes:
        """`slopes` with those of the gate's own reconstruction and of its penalty."""
        weight = controls.pressure * batch.unit
        gate = d_gate + weight
        parts = {**slopes.by_feature, "b_enc": slopes.by_feature["b_enc"] + gate}
        return Slopes(slopes.linear + gate, parts, weight * batch.at(active).sum())

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """A gate with tied weights is a threshold on the magnitude (their appendix E)."""
        gain = weights["log_gain"].exp()
        threshold = (weights["b_magnitude"] - gain * weights["b_enc"]).clamp_min(0)
        return Firing(weights["b_magnitude"], threshold=threshold, gain=gain)


@dataclass(frozen=True)
class JumpReLU(ReLU):
    """All above a threshold that each feature learns through a straight-through kernel (Rajamanoharan et al. 2024b,
    arXiv 2407.14435), under (L0 / k − 1)², or a tanh of the activation whose weight is steered.

    A threshold only learns from activations near it: where it starts above all of a weak feature's, that feature is
    lost. So thresholds start low, and each comes up as far as it has to. They are trained themselves, not their
    logarithms, which Adam moves by a rate of themselves a step, far too little for those that start low. Adam moves a
    number by at most its rate a step: `pace` times that in a run too short for it. A dead feature has to pass its
    threshold before it fires again: AuxK counts eight times.
    """

    revival: ClassVar[float] = 8.0
    penalty: Literal["quadratic", "tanh"] = "quadratic"
    bandwidth: float = _BANDWIDTH
    pace: float = 1.0

    @property
    def paces(self) -> Mapping[str, float]:
        """That of the thresholds."""
        return {"threshold": self.pace}

    def start(self) -> Controls:
        """The quadratic penalty's weight stays; that of tanh is steered from there."""
        return Controls(pressure=_QUADRATIC if self.penalty == "quadratic" else 0.3)

    def own(self, before: Float[Tensor, "B F"], k: int) -> Parameters:
        """Thresholds."""
        features = before.shape[1]
        start = _firing_from(before, min(_START * k, max(k, features // 2))).clamp_min(_LEAST_START)
        return {"threshold": before.new_full((features,), float(start))}

    def select(self, batch: Batch, controls: Controls) -> Active:
        """All above their thresholds, and with value 0 those within half the kernel's width below."""
        threshold = batch.weights["threshold"]
        places = where(batch.before > threshold - self.bandwidth / 2)
        near = entries(places, batch.before.reshape(-1)[places], batch.before.shape[1])
        return near._replace(values=near.values * (near.values > threshold[near.features]))

    def slopes(self, batch: Batch, active: Active, d_values: Float[Tensor, " n"], controls: Controls) -> Slopes:
        """Straight through the jump to the threshold."""
        threshold = batch.weights["threshold"][active.features]
        near = (batch.at(active) - threshold).abs() < self.bandwidth / 2
        open_ = active.values > 0
        size, penalty = len(batch.before), active.values.new_zeros(())
        d_count = torch.zeros_like(d_values)
        if self.penalty == "tanh":
            bent = torch.tanh(_TANH_SCALE * active.values)
            weight = controls.pressure * batch.unit
            d_values = d_values + weight * _TANH_SCALE * (1 - bent.square())
            penalty = weight * bent.sum()
        else:
            over = float(open_.sum()) / size / batch.k - 1
            d_count += controls.pressure * 2 * over / (batch.k * size)
            penalty += controls.pressure * over**2
        d_threshold = -(threshold * d_values + d_count) * near / self.bandwidth
        linear = d_values * open_
        return Slopes(linear, {"b_enc": linear, "threshold": d_threshold}, penalty)

    def steer(self, controls: Controls, l0: Float[Tensor, ""], k: int, total: int) -> None:
        """Move the tanh penalty's weight towards `k`; the quadratic one aims by itself."""
        if self.penalty == "tanh":
            _steer(controls, float(l0), k, total)

    def restore(self, weights: Parameters) -> None:
        """Below 0 a threshold would pass negative entries."""
        weights["threshold"].clamp_(min=0)

    def firing(self, weights: Parameters, k: int, controls: Controls) -> Firing:
        """All above their own threshold."""
        return Firing(weights["b_enc"], threshold=weights["threshold"].clone())


def _firing_from(before: Float[Tensor, "B F"], wanted: int) -> Float[Tensor, ""]:
    """The value from which `wanted` features fire on an average row."""
    values, _ = top_k(before, min(wanted, before.shape[1]))
    return values.min(dim=1).values.mean().clamp_min(0)


def _steer(controls: Controls, l0: float, k: int, total: int) -> None:
    """Integral control of the penalty's weight on the logarithm of L0 / k.

    Slow beside the dictionary's own learning, which lowers L0 too: over the whole run it can move by e^5 either way.
    """
    rate = min(0.05, 5 / total)
    error = max(-1.0, min(1.0, math.log(max(l0, 1e-3) / k)))
    controls.pressure *= math.exp(rate * error)


def selection_of(config: SAEConfig, schedule: Schedule) -> Selection:
    """The class of an architecture; Matryoshka selects as BatchTopK does, and differs in what must be rebuilt."""
    if config.architecture == "jumprelu":
        return JumpReLU(config.l0_penalty, pace=max(1.0, _REACH / schedule.reach))
    if config.architecture == "relu" and config.l1_coefficient is not None:
        return FixedL1(config.l1_coefficient)
    classes: dict[str, type[TopK] | type[ReLU]] = {"topk": TopK, "gated": Gated, "relu": ReLU}
    return classes.get(config.architecture, BatchTopK)()
