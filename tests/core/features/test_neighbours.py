"""Neighbours by direction and by common rows against their dense definitions."""

import numpy as np
import polars as pl

from core.features.index import FeatureIndex
from core.features.neighbours import COACTIVATION, NEIGHBOURS
from tests.core.features.planted_layer import Layer


def test_decoder_neighbours_are_the_largest_cosines(index: FeatureIndex, layer: Layer) -> None:
    directions = layer.sae.W_dec.numpy()
    cosine = directions @ directions.T
    np.fill_diagonal(cosine, -2)
    found = index.neighbours
    assert found.schema == NEIGHBOURS
    assert found.height == 40 * 4
    for feature in range(40):
        own = found.filter(pl.col("feature") == feature)
        assert own["rank"].to_list() == [1, 2, 3, 4]
        np.testing.assert_allclose(own["cosine"], np.sort(cosine[feature])[::-1][:4], rtol=1e-5)
        np.testing.assert_allclose(own["cosine"], cosine[feature, own["neighbour"].to_numpy()], rtol=1e-5)


def test_coactivation_counts_common_rows(index: FeatureIndex, layer: Layer) -> None:
    active = (layer.dense > 0)[~layer.tokens["special"].to_numpy()]
    both = active.T.astype(int) @ active.astype(int)
    count = active.sum(axis=0)
    found = index.coactivation
    assert found.schema == COACTIVATION
    assert 3 not in found["feature"].to_list()  # never active
    jaccard = both / np.maximum(count[:, None] + count - both, 1)
    np.fill_diagonal(jaccard, -1)
    for feature, rank, partner, common, similarity, pmi in found.iter_rows():
        assert common == both[feature, partner]
        assert np.isclose(similarity, jaccard[feature, partner])
        assert np.isclose(similarity, np.sort(jaccard[feature])[::-1][rank - 1])
        assert np.isclose(pmi, np.log(common * len(active) / (count[feature] * count[partner])))
