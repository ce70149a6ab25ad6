"""The arithmetic that makes a sparse autoencoder cheap: a sparse code's decode and gradients, all without autograd.

Only the encoder's forward pass is a dense product. Everything after it touches the active features alone: decoding is
an `embedding_bag`, and sorting the active features once turns both weight gradients into gathers, which need no
atomics and therefore give the same bits every time. A code that is hardly sparse (ReLU's at the start of a run) goes
through dense products instead.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

_GROUPS = 4
"""Groups a wanted entry: 2 to 8 take alike (2048 x 4608, k 32: 11 ms, torch.topk 16; on one thread 16 and 30)."""
_MOST_CANDIDATES = 4
"""Candidates a wanted entry beyond which torch.topk over all is taken: many equal entries."""
_DENSE_SHARE = 1 / 20
"""From this share of active entries on, three dense products should cost less than gathering: reckoned from the cost
of an entry at D 576, F 4608, not measured at the crossing."""


class Active(NamedTuple):
    """The entries of a sparse code [R, F], row after row; an entry of value 0 passes nothing on."""

    rows: Int[Tensor, " n"]
    features: Int[Tensor, " n"]
    values: Float[Tensor, " n"]

    def starts(self, rows: int) -> Int[Tensor, " R"]:
        """Where each row's entries begin."""
        counts = torch.bincount(self.rows, minlength=rows)
        return counts.cumsum(0) - counts

    def dense(self, shape: tuple[int, int], values: Float[Tensor, " n"]) -> Float[Tensor, "R F"]:
        """`values` at the entries, 0 elsewhere."""
        full = values.new_zeros(shape[0] * shape[1])
        full[self.rows * shape[1] + self.features] = values
        return full.view(shape)

    def is_sparse(self, shape: tuple[int, int]) -> bool:
        """Whether gathering is cheaper than dense products."""
        return len(self.rows) <= _DENSE_SHARE * shape[0] * shape[1]


def top_k(x: Float[Tensor, "B F"], k: int) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """The `k` largest entries of each row and their columns, in no stated order."""
    if x.device.type == "cpu" and len(x) and 2 * _GROUPS * k <= x.shape[1] and not x.requires_grad:
        found = _among_candidates(x, k)
        if found is not None:
            return found
    values, indices = torch.topk(x, k, dim=1, sorted=False)
    return values, indices


def _among_candidates(x: Float[Tensor, "B F"], k: int) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]] | None:
    """The same from the entries that reach the k-th largest of their row's group maxima, which k entries must: two
    vectorised passes and a small top-k, where torch.topk selects through the whole row."""
    rows, width = x.shape
    groups = _GROUPS * k
    grouped = x[:, : width // groups * groups].view(rows, width // groups, groups)
    peaks = np.partition(grouped.amax(1).numpy(), groups - k, axis=1)
    places = where((x < torch.from_numpy(peaks[:, groups - k, None])).logical_not_())  # NaN stays, as in torch.topk
    counts = torch.bincount(torch.div(places, width, rounding_mode="floor"), minlength=rows)
    if len(places) > _MOST_CANDIDATES * k * rows:
        return None
    slots = torch.arange(int(counts.max()))
    candidates = places[((counts.cumsum(0) - counts).unsqueeze(1) + slots).clamp_max(len(places) - 1)]
    values = x.reshape(-1)[candidates].masked_fill_(slots >= counts.unsqueeze(1), -torch.inf)
    values, chosen = torch.topk(values, k, dim=1, sorted=False)
    return values, candidates.gather(1, chosen) - torch.arange(0, rows * width, width).unsqueeze(1)


def where(mask: Bool[Tensor, "B F"]) -> Int[Tensor, " n"]:
    """The places of the true entries in the flattened mask, ascending."""
    if mask.device.type == "cpu":  # about twice as fast as torch's (9 M entries: 2.6 against 4.7 ms)
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.reshape(-1).nonzero().squeeze(1)


def sparse_decode(
    indices: Int[Tensor, "B K"], values: Float[Tensor, "B K"], decoder: Float[Tensor, "F D"]
) -> Float[Tensor, "B D"]:
    """Σ_k values · decoder[indices], without a dense code."""
    return functional.embedding_bag(indices, decoder, per_sample_weights=values, mode="sum")


def decode(active: Active, decoder: Float[Tensor, "F D"], rows: int) -> Float[Tensor, "R D"]:
    """Each row's Σ values · decoder[features]."""
    shape = (rows, len(decoder))
    if not active.is_sparse(shape):
        return active.dense(shape, active.values) @ decoder
    starts = active.starts(rows)
    return functional.embedding_bag(
        active.features, decoder, starts, per_sample_weights=active.values.to(decoder.dtype), mode="sum"
    )


class ByFeature(NamedTuple):
    """A sparse code's entries, feature after feature; `starts` [F] says where each feature's begin."""

    active: Active
    starts: Int[Tensor, " F"]

    @classmethod
    def of(cls, active: Active, num_features: int) -> "ByFeature":
        """The entries sorted by feature, rows ascending within each."""
        features, order = torch.sort(active.features, stable=True)
        counts = torch.bincount(features, minlength=num_features)
        return cls(Active(active.rows[order], features, active.values[order]), counts.cumsum(0) - counts)

    def code_gradient(self, decoder: Float[Tensor, "F D"], g: Float[Tensor, "R D"]) -> Float[Tensor, " n"]:
        """⟨g of its row, decoder[feature]⟩ of each entry, without materialising the gathered rows.

        This is embedding_bag's own backward, called by name: through torch.autograd.grad a small step takes a tenth
        longer, and every process imports for 2 s first. Its two factors change places, for the order of the entries
        reads the decoder once from one end to the other, and `g`, which is smaller, at random.
        """
        rows, features, _ = self.active
        if not self.active.is_sparse((len(g), len(decoder))):
            return (g @ decoder.T).reshape(-1)[rows * len(decoder) + features]
        backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
        gradient: Tensor = backward(decoder, g, rows, self.starts, features, 0)
        return gradient

    def gather(
        self, source: Float[Tensor, "R D"], rows: Int[Tensor, " n"], weights: Float[Tensor, " n"]
    ) -> Float[Tensor, "F D"]:
        """Σ over a feature's entries of weight · source[row], `rows` being the entries' rows in `source`."""
        if self.active.is_sparse((len(source), len(self.starts))):
            return functional.embedding_bag(rows, source, self.starts, per_sample_weights=weights, mode="sum")
        full = weights.new_zeros(len(source) * len(self.starts))
        full.index_add_(0, rows * len(self.starts) + self.active.features, weights)
        return full.view(len(source), -1).T @ source

    def sum(self, values: Float[Tensor, " n"]) -> Float[Tensor, " F"]:
        """Σ over a feature's entries of `values`."""
        return values.new_zeros(len(self.starts)).index_add_(0, self.active.features, values)
