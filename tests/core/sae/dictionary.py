"""A world of known atoms, and helpers that the tests of this room share."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from core.sae.architectures import SparseAutoencoder
from core.sae.rows import Rows


def plant(
    d_model: int, atoms: int, rows: int, active: int, seed: int = 0
) -> tuple[Float[Tensor, "A D"], Float[Tensor, "T D"]]:
    """Unit atoms, and rows that are sums of `active` of them (weights 1-2) about a common mean."""
    generator = torch.Generator().manual_seed(seed)
    directions = functional.normalize(torch.randn(atoms, d_model, generator=generator), dim=1)
    chosen = torch.rand(rows, atoms, generator=generator).topk(active, dim=1).indices
    weights = 1 + torch.rand(rows, active, generator=generator)
    code = torch.zeros(rows, atoms).scatter_(1, chosen, weights)
    return directions, 3 * (code @ directions + torch.randn(d_model, generator=generator))


def planted_rows(d_model: int = 16, atoms: int = 24, rows: int = 1200, active: int = 2) -> Rows:
    """The planted rows, a sixth of them held out."""
    _, x = plant(d_model, atoms, rows, active)
    held_out = rows // 6
    return Rows(x[held_out:].contiguous(), x[:held_out].contiguous(), {"caption_en": rows - held_out})


def random_sae(d_model: int = 12, num_features: int = 40, k: int = 5, seed: int = 0) -> SparseAutoencoder:
    """An autoencoder of random weights with unit decoder rows."""
    generator = torch.Generator().manual_seed(seed)
    sae = SparseAutoencoder(d_model, num_features, k)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
        sae.W_dec.copy_(functional.normalize(sae.W_dec, dim=1))
    return sae.requires_grad_(False)
