"""Every row of a layer encoded and written as sparse rows (CSR), a block in memory at a time."""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from core.features.columns import SparseRows, block_rows
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder


class StreamRows(Protocol):
    """Rows that are read in blocks, such as a `LayerTable`'s."""

    def __len__(self) -> int:
        """T."""

    def block(self, start: int, stop: int, /) -> Float[Tensor, "n D"]:
        """The rows from `start` to `stop` (exclusive) in float32."""


@torch.no_grad()
def encode_rows(sae: SparseAutoencoder, rows: StreamRows, out: SparseRows, progress: Progress = silent) -> None:
    """Encode every row on the autoencoder's device; memory is bounded by blocks, whatever the number of rows."""
    block = block_rows(sae.num_features)
    blocks = -(-len(rows) // block)
    for number, start in enumerate(range(0, len(rows), block), start=1):
        x = rows.block(start, min(start + block, len(rows))).to(sae.b_dec.device)
        code = sae.encode(x)
        active = code.values > 0
        counts = active.sum(1).cpu().numpy()
        out.append(counts, code.indices[active].cpu().numpy(), code.values[active].cpu().numpy())
        progress(number, blocks)
