"""What is known of the reported layer when the further parts of the analysis start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.causal.resampling import Resampling
from core.causal.steering import FEATURES, Directions, SteeringRuns
from core.causal.steering_vectors import COVARIANCE, ISOTROPIC, from_covariance, isotropic
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView

SETS = "random feature sets"


@dataclass(frozen=True)
class Picked:
    """The reported layer: its features and vectors, the test pairs by language, the responses measured so far, the dose
    that the selection split chose by language (null: none in range), and `draws`, how many random directions of a kind.
    """

    inputs: AnalysisInputs
    opened: LayerView
    features: tuple[int, ...]
    steer: Directions
    runs: Sequence[SteeringRuns]
    responses: pl.DataFrame
    doses: Mapping[str, float | None]
    resampling: Resampling
    draws: int

    @property
    def layer(self) -> int:
        """The layer."""
        return self.opened.layer

    @property
    def length(self) -> float:
        """‖v‖ of the features' vector, which every other vector has as well."""
        return float(self.steer.vectors[FEATURES].norm())

    @cached_property
    def random(self) -> Mapping[str, tuple[Float[Tensor, " D"], ...]]:
        """Random vectors by kind: sets of features, isotropic directions, directions drawn from the covariance."""
        seed, length = self.inputs.seed, self.length
        return {
            SETS: self.steer.random,
            ISOTROPIC: isotropic(self.steer.vectors[FEATURES].numel(), self.draws, length, seed),
            COVARIANCE: from_covariance(self.opened, self.draws, length, seed),
        }

    @property
    def by_caption(self) -> Resampling:
        """Resampling of whole captions, which differ whatever stands before their first word of the concept."""
        return replace(self.resampling, pairs={})
