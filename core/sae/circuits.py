"""An autoencoder's weights as factored matrices: its decoder, what it does to the stream, and features to features."""

import torch

from core.errors import BadInput
from core.sae.architectures import SparseAutoencoder
from core.stats.factored import FactoredMatrix


def decoder(sae: SparseAutoencoder) -> FactoredMatrix:
    """W_dec, [F, D]: its spectrum tells how many directions the features span, its components which."""
    weights = sae.W_dec.detach()
    return FactoredMatrix(weights, torch.eye(weights.shape[1], device=weights.device, dtype=weights.dtype))


def encoder_decoder(sae: SparseAutoencoder) -> FactoredMatrix:
    """W_enc · W_dec, [D, D]: what the autoencoder would do to a row if every feature passed on what it reads."""
    return FactoredMatrix(sae.W_enc, sae.W_dec)


def between_features(lower: SparseAutoencoder, upper: SparseAutoencoder) -> FactoredMatrix:
    """W_dec of one autoencoder · W_enc of another, [F, F']: how much one unit of a feature of the lower adds to what a
    feature of the upper reads, along the stream alone. Never formed: F × F' numbers for 2 · F · D.

    Raises:
        BadInput: the streams have different widths.
    """
    if lower.d_out != upper.d_model:
        raise BadInput(
            f"factored matrix: one SAE writes rows of {lower.d_out} numbers, the other reads {upper.d_model}"
        )
    return FactoredMatrix(lower.W_dec, upper.W_enc)
