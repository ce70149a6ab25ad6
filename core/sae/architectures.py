"""The sparse autoencoder as it is used: TopK, in the raw units of the residual stream."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.sae.kernels import sparse_decode, top_k


class SparseCode(NamedTuple):
    """The `K` strongest features of each row; a value of 0 is a feature that did not fire."""

    indices: Int[Tensor, "T K"]
    values: Float[Tensor, "T K"]


class TopKSAE(nn.Module):
    """TopK autoencoder (Gao et al. 2024, arXiv 2406.04093): f(x) = relu(topk((x − b_dec) W_enc + b_enc)).

    `W_dec` has unit rows, so a feature's activation is the length of what it adds to the stream, in the stream's own
    units; x̂ = f(x) W_dec + b_dec.
    """

    def __init__(self, d_model: int, num_features: int, k: int) -> None:
        super().__init__()
        self.d_model, self.num_features, self.k = d_model, num_features, k
        self.W_enc = nn.Parameter(torch.zeros(d_model, num_features))
        self.W_dec = nn.Parameter(torch.zeros(num_features, d_model))
        self.b_enc = nn.Parameter(torch.zeros(num_features))
        self.b_dec = nn.Parameter(torch.zeros(d_model))

    def encode(self, x: Float[Tensor, "T D"]) -> SparseCode:
        """The active features of each row of the stream; indices ascend within a row."""
        before = torch.addmm(self.b_enc, x.to(self.b_dec.dtype) - self.b_dec, self.W_enc)
        values, indices = top_k(before, self.k)
        indices, order = indices.sort(dim=1)
        return SparseCode(indices, values.gather(1, order).relu())

    def decode(self, code: SparseCode) -> Float[Tensor, "T D"]:
        """The stream as the active features and the bias rebuild it."""
        return sparse_decode(code.indices, code.values, self.W_dec) + self.b_dec

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """x̂, the reconstruction of x."""
        return self.decode(self.encode(x))

    def activations(self, x: Float[Tensor, "T D"], features: Int[Tensor, " n"]) -> Float[Tensor, "T n"]:
        """Activations of chosen features, dense; 0 where a feature is not among the row's `K` strongest."""
        code = self.encode(x)
        hits = code.indices[:, :, None] == features.to(code.indices.device)
        return (code.values[:, :, None] * hits).sum(1)
