"""The sparse autoencoder as it is used, whatever it was trained as: in the raw units of the residual stream."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.sae.kernels import sparse_decode, top_k, where


class SparseCode(NamedTuple):
    """The features of each row that fired, up to `K` of them; a value of 0 is a place that none took."""

    indices: Int[Tensor, "T K"]
    values: Float[Tensor, "T K"]


class SparseAutoencoder(nn.Module):
    """f(x) = σ((x − b_in) W_enc + b_enc), x̂ = f(x) W_dec + b_dec.

    σ keeps the `k` strongest of a row through relu (TopK), or, with `k` null, what exceeds its feature's `threshold`
    (JumpReLU; BatchTopK and Matryoshka with one threshold for all, Gated with its gate as one, ReLU with 0). An
    autoencoder is centred by its own `b_dec`; where `b_in` stands it is centred by that: a transcoder's input has
    another mean than its output, of width `d_out`, and `transcodes` says that it is one.

    Unit rows of `W_dec`, which training keeps, make a feature's activation the length of what it adds to the stream.
    """

    threshold: Float[Tensor, " F"]
    b_in: Float[Tensor, " D"] | None

    def __init__(self, d_model: int, num_features: int, k: int | None, d_out: int | None = None) -> None:
        super().__init__()
        self.d_model, self.num_features, self.k, self.d_out = d_model, num_features, k, d_out or d_model
        self.transcodes = self.d_out != d_model
        self.W_enc = nn.Parameter(torch.zeros(d_model, num_features))
        self.W_dec = nn.Parameter(torch.zeros(num_features, self.d_out))
        self.b_enc = nn.Parameter(torch.zeros(num_features))
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        self.register_buffer("threshold", torch.zeros(num_features))
        self.register_buffer("b_in", None)

    def encode(self, x: Float[Tensor, "T D"]) -> SparseCode:
        """The active features of each row of the stream; indices ascend within a row."""
        centre = self.b_dec if self.b_in is None else self.b_in
        before = torch.addmm(self.b_enc, x.to(self.b_dec.dtype) - centre, self.W_enc)
        if self.k is None:
            return _above(before, self.threshold)
        values, indices = top_k(before, self.k)
        indices, order = indices.sort(dim=1)
        return SparseCode(indices, values.gather(1, order).relu())

    def decode(self, code: SparseCode) -> Float[Tensor, "T O"]:
        """The stream as the active features and the bias rebuild it."""
        return sparse_decode(code.indices, code.values, self.W_dec) + self.b_dec

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T O"]:
        """x̂, the reconstruction of x, or a transcoder's guess at its target."""
        return self.decode(self.encode(x))

    def activations(self, x: Float[Tensor, "T D"], features: Int[Tensor, " n"]) -> Float[Tensor, "T n"]:
        """Activations of chosen features, dense; 0 where a feature did not fire."""
        code = self.encode(x)
        hits = code.indices[:, :, None] == features.to(code.indices.device)
        return (code.values[:, :, None] * hits).sum(1)


def _above(before: Float[Tensor, "T F"], threshold: Float[Tensor, " F"]) -> SparseCode:
    """What exceeds its threshold, packed to the left; as wide as the fullest row."""
    width = before.shape[1]
    places = where(before.detach() > threshold.clamp_min(0))
    rows = torch.div(places, width, rounding_mode="floor")
    counts = torch.bincount(rows, minlength=len(before))
    columns = torch.arange(len(places), device=before.device) - (counts.cumsum(0) - counts)[rows]
    shape = (len(before), max(1, int(counts.max()) if len(before) else 1))
    indices = torch.zeros(shape, dtype=torch.int64, device=before.device)
    values = before.new_zeros(shape)
    indices[rows, columns] = places - rows * width
    values[rows, columns] = before.reshape(-1)[places]
    return SparseCode(indices, values)
