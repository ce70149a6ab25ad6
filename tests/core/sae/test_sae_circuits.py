"""An autoencoder's factored matrices against the dense ones."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from core.errors import BadInput
from core.sae.circuits import between_features, decoder, encoder_decoder
from tests.core.sae.dictionary import random_sae


def test_each_product_is_the_dense_one() -> None:
    sae, upper = random_sae(), random_sae(num_features=30, seed=1)
    pairs = [
        (decoder(sae), sae.W_dec),
        (encoder_decoder(sae), sae.W_enc @ sae.W_dec),
        (between_features(sae, upper), sae.W_dec @ upper.W_enc),
    ]
    for product, dense in pairs:
        torch.testing.assert_close(product.AB, dense)
        torch.testing.assert_close(product.S, torch.linalg.svdvals(dense)[: len(product.S)], rtol=1e-4, atol=1e-5)
        found, reference = product.pca(), PCA(n_components=5).fit(dense.numpy())
        np.testing.assert_allclose(found.variance[:5], reference.explained_variance_, rtol=1e-4)
        share = torch.linalg.svdvals(dense) / torch.linalg.svdvals(dense).sum()
        entropy = -(share * share.clamp_min(1e-12).log()).sum()
        assert float(product.effective_rank) == pytest.approx(float(entropy.exp()), rel=1e-4)


def test_streams_of_two_widths_have_no_product() -> None:
    with pytest.raises(BadInput, match="writes rows of 12 numbers, the other reads 8"):
        between_features(random_sae(12), random_sae(8))
