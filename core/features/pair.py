"""Two features of one study beside each other, of one layer or of two."""

from dataclasses import dataclass

import numpy as np
import torch

from core.errors import BadInput
from core.features.layer_view import LayerView


@dataclass(frozen=True)
class Together:
    """How alike two features are.

    `cosine` is of their decoder rows. Over the rows of the layers: `both` and `either` count those in which both, or
    at least one, are active, `jaccard` is their ratio (NaN where neither ever is), and `correlation` is Pearson's, of
    the activations (NaN where one is constant).
    """

    cosine: float
    both: int
    either: int
    jaccard: float
    correlation: float


def together(one: LayerView, feature: int, other: LayerView, beside: int) -> Together:
    """Compare `feature` of one layer to `beside` of the other.

    Raises:
        BadInput: there is no such feature, or the layers' rows are not the same.
    """
    if one.index.num_rows != other.index.num_rows:
        rows = f"layer {one.layer} has {one.index.num_rows:,} rows and layer {other.layer} {other.index.num_rows:,}"
        raise BadInput(f"{rows}: rows were left out of one of them, so that its rows are not the other's")
    (rows_a, values_a), (rows_b, values_b) = one.index.csc(feature), other.index.csc(beside)
    _, at_a, at_b = np.intersect1d(rows_a, rows_b, assume_unique=True, return_indices=True)
    both, either = at_a.size, rows_a.size + rows_b.size - at_a.size
    vectors = one.sae.W_dec[feature].detach().float(), other.sae.W_dec[beside].detach().float()
    cosine = float(torch.nn.functional.cosine_similarity(*vectors, dim=0))
    x, y = np.asarray(values_a, np.float64), np.asarray(values_b, np.float64)
    correlation = _correlation(x, y, float(x[at_a] @ y[at_b]), one.index.num_rows)
    return Together(cosine, both, either, both / either if either else float("nan"), correlation)


def _correlation(x: np.ndarray, y: np.ndarray, product: float, rows: int) -> float:
    """Pearson's, from the entries that are not 0 and the sum of products."""
    means = x.sum() / rows, y.sum() / rows
    spreads = (max((v @ v) / rows - mean**2, 0.0) for v, mean in zip((x, y), means, strict=True))
    scale = float(np.prod([np.sqrt(spread) for spread in spreads]))
    return (product / rows - means[0] * means[1]) / scale if scale > 0 else float("nan")
