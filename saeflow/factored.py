"""Products of two weights that are never formed: their spectrum, rank, entropy and principal components.

>>> import torch
>>> left, right = torch.tensor([[3.0], [4.0], [0.0]]), torch.tensor([[0.0, 2.0]])
>>> product = FactoredMatrix(left, right)
>>> product.shape, product.rank, product.S.tolist(), product.effective_rank.item()
((3, 2), 1, [10.0], 1.0)

A model's heads and an SAE's weights come as such products:

>>> import saeflow
>>> model, sae = saeflow.lm.load("tiny-model"), saeflow.lm.load_sae("tiny-sae")
>>> heads = ov(model, layer=1)  # all heads of a layer, a batch
>>> heads[0].shape == (model.d_model, model.d_model)
True
>>> heads[0].rank
16
>>> features = between_features(sae, sae)
>>> features.shape == (sae.num_features, sae.num_features)
True
"""

from core.lm.circuits import ov_circuit, qk_circuit
from core.lm.language_model import LanguageModel
from core.sae.circuits import between_features as between_features
from core.sae.circuits import decoder as decoder
from core.sae.circuits import encoder_decoder as encoder_decoder
from core.stats.factored import Components as Components
from core.stats.factored import FactoredMatrix as FactoredMatrix
from core.stats.factored import SingularValues as SingularValues

__all__ = [
    "Components",
    "FactoredMatrix",
    "SingularValues",
    "between_features",
    "decoder",
    "encoder_decoder",
    "ov",
    "qk",
]


def ov(model: LanguageModel, layer: int, fold: bool = True) -> FactoredMatrix:
    """W_V · W_O of every head of a layer, [heads, D, D]: what a head adds to the stream for a row of it.

    Args:
        model: one with q, k, v and o of its own; heads may share keys and values.
        layer: its number.
        fold: with the gain of the norm before the attention, so that the circuit reads the stream over its norm;
            without, it reads what the norm gives. Biases, and a norm behind the attention, are in neither.

    Raises:
        BadInput: the layer's attention cannot be read by head; the line says why.
    """
    return ov_circuit(model.loaded, layer, fold)


def qk(model: LanguageModel, layer: int, fold: bool = True) -> FactoredMatrix:
    """W_Q · W_Kᵀ of every head of a layer, [heads, D, D], of the projections alone: rotary embedding, norms of queries
    and keys, and the scale are left out. `fold` as in `ov`.

    Raises:
        BadInput: the layer's attention cannot be read by head; the line says why.
    """
    return qk_circuit(model.loaded, layer, fold)
