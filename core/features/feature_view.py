"""One feature of a layer's SAE as a reader sees it: how often it fires, where, what it is like, and what it writes."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from core.features.indexed_layer import IndexedFeature
from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True, repr=False)
class FeatureView(IndexedFeature):
    """One feature of the SAE of layer `layer`."""

    layer: int
    sae: SparseAutoencoder

    @property
    def direction(self) -> Float[Tensor, " D"]:
        """What one unit of it adds to the stream: its row of the decoder."""
        return self.sae.W_dec.detach()[self.feature]

    def __repr__(self) -> str:
        return f"<feature {self.feature} of layer {self.layer}: active in {self.statistics['count']} rows>"
