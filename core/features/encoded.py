"""Rows encoded in memory, by an autoencoder that has no index."""

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from core.activations.table import LayerTable
from core.features.columns import block_rows
from core.features.row_groups import FeatureSums, RowGroups
from core.sae.architectures import SparseAutoencoder


@torch.no_grad()
def sparse_code(sae: SparseAutoencoder, x: Float[Tensor, "n D"]) -> sparse.csr_array:
    """What is active in each row, [n, F]."""
    code = sae.encode(x.to(sae.b_dec.device))
    active = code.values > 0
    rows, _ = active.nonzero(as_tuple=True)
    values = (part[active].cpu().numpy() for part in (code.values, code.indices))
    data, features = values
    return sparse.csr_array((data, (rows.cpu().numpy(), features)), shape=(len(x), sae.num_features))


def sum_encoded(sae: SparseAutoencoder, table: LayerTable, groups: RowGroups) -> FeatureSums:
    """Activations summed within groups, as `sum_features` sums an index's; rows in no group are not encoded."""
    shape, block = (groups.table.height, sae.num_features), block_rows(sae.num_features)
    sums, fired = (sparse.csr_array(shape, dtype=np.float32) for _ in range(2))
    counted = np.flatnonzero(groups.of_row >= 0)
    for start in range(0, counted.size, block):
        rows = counted[start : start + block]
        code = sparse_code(sae, table.read(rows))
        ones = np.ones(rows.size, dtype=np.float32)
        grouping = sparse.csr_array((ones, (groups.of_row[rows], np.arange(rows.size))), shape=(shape[0], rows.size))
        sums, fired = sums + grouping @ code, fired + grouping @ (code != 0).astype(np.float32)
    return FeatureSums(groups, sparse.csr_array(sums), sparse.csr_array(fired))
