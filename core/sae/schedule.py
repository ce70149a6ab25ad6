"""How the learning rate and the number of active features move over a run."""

import math
from dataclasses import dataclass

from core.study.sae import SAEConfig

_K_FROM = 4
"""How many times `k` features fire where `k` is lowered in the course of a run."""


@dataclass(frozen=True)
class Schedule:
    """A run of `total` steps, `per_epoch` whole batches an epoch; which rows are left over changes with each epoch."""

    per_epoch: int
    total: int
    peak: float
    final_k: int
    most_k: int
    anneal: float

    @classmethod
    def of(cls, config: SAEConfig, per_epoch: int, num_features: int) -> "Schedule":
        """The schedule of a study's settings; the learning rate is EleutherAI sparsify's default, which goes with
        1 / sqrt(F) as in Gao et al. 2024."""
        peak = config.learning_rate or 2e-4 / math.sqrt(num_features / 2**14)
        return cls(per_epoch, per_epoch * config.epochs, peak, config.k, num_features, config.k_anneal)

    @property
    def dead_after(self) -> int:
        """Steps without firing after which a feature is dead: an epoch, or a tenth of a run of fewer than ten."""
        return min(self.per_epoch, max(1, self.total // 10))

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over a twentieth of the run (at most 1000 steps), flat, then linear to 0 over a fifth."""
        warm_up, decay = self._ramps
        return self.peak * min(1.0, (step + 1) / warm_up, (self.total - step) / decay)

    @property
    def reach(self) -> float:
        """The rates of all steps together: the farthest that Adam can move a number."""
        return self.peak * (self.total + 1 - sum(self._ramps) / 2)

    @property
    def _ramps(self) -> tuple[int, int]:
        return min(1000, max(1, self.total // 20)), max(1, self.total // 5)

    def k(self, step: int) -> int:
        """Active features aimed at: from four times as many, linearly, over the first share of the run."""
        left = 1 - step / (self.anneal * self.total) if self.anneal else 0.0
        return min(self.most_k, round(self.final_k * (1 + (_K_FROM - 1) * max(0.0, left))))
