from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from core.errors import BadInput
from core.features.index import FeatureIndex
from core.features.pair import together
from tests.core.features.planted_layer import Layer


def view(layer: Layer, index: FeatureIndex) -> Any:
    return SimpleNamespace(layer=0, sae=layer.sae, index=index)


def test_two_features_are_compared_as_their_dense_columns_are(layer: Layer, index: FeatureIndex) -> None:
    own = view(layer, index)
    for one, other in ((4, 7), (4, 4), (9, 12)):
        found = together(own, one, own, other)
        x, y = (index.activations([feature])[:, 0].astype(np.float64) for feature in (one, other))
        assert found.jaccard == pytest.approx(jaccard_score(x > 0, y > 0))
        assert found.both == ((x > 0) & (y > 0)).sum() and found.either == ((x > 0) | (y > 0)).sum()
        assert found.correlation == pytest.approx(np.corrcoef(x, y)[0, 1])
        a, b = layer.sae.W_dec[one].numpy(), layer.sae.W_dec[other].numpy()
        assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)


def test_a_feature_that_never_fires_is_like_none(layer: Layer, index: FeatureIndex) -> None:
    own = view(layer, index)
    found = together(own, 3, own, 3)
    assert found.either == 0 and np.isnan(found.jaccard) and np.isnan(found.correlation)


def test_layers_of_other_rows_are_refused(layer: Layer, index: FeatureIndex) -> None:
    shorter = SimpleNamespace(layer=5, sae=layer.sae, index=SimpleNamespace(num_rows=index.num_rows - 1))
    with pytest.raises(BadInput, match="rows were left out of one of them"):
        together(view(layer, index), 4, shorter, 4)
