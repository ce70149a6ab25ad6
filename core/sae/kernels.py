"""The arithmetic that makes a sparse autoencoder cheap: a sparse code's decode and gradients, all without autograd.

Only the encoder's forward pass is a dense product. Everything after it touches the active features alone: decoding is
an `embedding_bag`, and sorting the active features once turns both weight gradients into gathers, which need no
atomics and therefore give the same bits every time on a CPU. On a GPU the same sums are products with a CSR matrix
(cuSPARSE), whose last bits can differ between runs. A code that is hardly sparse (ReLU's at the start of a run) goes
through dense products instead.
"""

import warnings
from functools import cache
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
_DEPTH = 16
"""Entries per group on a GPU: 4096 x 20480, k 64 on an H200 take 0.53 ms with 10 or 20 entries, 0.64 with 40, and
torch.topk over all 1.17."""
_MANY = 6
"""Entries per feature from which a GPU samples inner products from a dense product: with 12.8 (4096 rows of 64, F
20480) 0.46 ms on an H200, embedding_bag's backward 0.89; with 0.8, 0.36 and 0.06."""
_DENSE_SHARE = 1 / 20
"""From this share of active entries on, three dense products should cost less than gathering: reckoned from the cost
of an entry at D 576, F 4608, not measured at the crossing."""


class Active(NamedTuple):
    """The entries of a sparse code [R, F], row after row; an entry of value 0 passes nothing on."""

    rows: Int[Tensor, " n"]
    features: Int[Tensor, " n"]
    values: Float[Tensor, " n"]

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
    if x.device.type != "cpu" and not x.requires_grad and 4 * _DEPTH * k <= x.shape[1] and x.shape[1] % _DEPTH == 0:
        return among_strongest_groups(x, k)
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


def among_strongest_groups(x: Float[Tensor, "B F"], k: int) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """The same from the k groups of columns with the largest maxima, in which k of the largest entries must be; for a
    GPU, which is told no sizes and so never waits. F is a multiple of the groups' depth."""
    rows, width = x.shape
    groups = width // _DEPTH
    _, chosen = top_k(x.view(rows, _DEPTH, groups).amax(1), k)
    columns = chosen.unsqueeze(1) + torch.arange(0, width, groups, device=x.device).unsqueeze(1)
    candidates = columns.view(rows, _DEPTH * k)
    values, places = torch.topk(x.gather(1, candidates), k, dim=1, sorted=False)
    return values, candidates.gather(1, places)


def rounded_product(a: Float[Tensor, "n m"], b: Float[Tensor, "m p"]) -> Float[Tensor, "n p"]:
    """a · b of factors rounded to bfloat16, summed and returned in float32: a GPU takes a tenth of the time."""
    a, b = a.bfloat16(), b.bfloat16()
    return a.float() @ b.float() if a.device.type == "cpu" else torch.mm(a, b, out_dtype=torch.float32)


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
    return summed(bounds_of(active.rows, rows), active.features, active.values.to(decoder.dtype), decoder)


def bounds_of(numbers: Int[Tensor, " n"], count: int) -> Int[Tensor, " R+1"]:
    """Where each of `count` numbers begins among the ascending `numbers`, and where the last ends."""
    if numbers.device.type == "cpu":
        return functional.pad(torch.bincount(numbers, minlength=count).cumsum(0), (1, 0))
    return torch.searchsorted(numbers, torch.arange(count + 1, device=numbers.device))  # bincount makes a GPU wait


def summed(
    bounds: Int[Tensor, " R+1"], indices: Int[Tensor, " n"], weights: Float[Tensor, " n"], source: Float[Tensor, "S D"]
) -> Float[Tensor, "R D"]:
    """Σ weights · source[indices] over the entries of each row, which `bounds` tell apart."""
    if source.device.type == "cpu":
        return functional.embedding_bag(indices, source, bounds[:-1], per_sample_weights=weights, mode="sum")
    return summed_by_product(bounds, indices, weights, source)


def summed_by_product(
    bounds: Int[Tensor, " R+1"], indices: Int[Tensor, " n"], weights: Float[Tensor, " n"], source: Float[Tensor, "S D"]
) -> Float[Tensor, "R D"]:
    """The same as a product with a CSR matrix: a quarter of embedding_bag's time on a GPU (4096 rows of 64 entries,
    D 2560 on an H200: 0.44 and 1.80 ms)."""
    return _csr(bounds, indices, weights, len(source)) @ source


def inner_by_product(
    bounds: Int[Tensor, " R+1"], indices: Int[Tensor, " n"], left: Float[Tensor, "R D"], right: Float[Tensor, "S D"]
) -> Float[Tensor, " n"]:
    """⟨left of the entry's row, right[index]⟩ of each entry, sampled from the dense product."""
    pattern = _csr(bounds, indices, left.new_zeros(len(indices)), len(right))
    inner: Tensor = torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()
    return inner


def _csr(bounds: Int[Tensor, " R+1"], indices: Int[Tensor, " n"], values: Float[Tensor, " n"], width: int) -> Tensor:
    _hear_of_beta()
    return torch.sparse_csr_tensor(bounds, indices, values, (len(bounds) - 1, width), check_invariants=False)


@cache
def _hear_of_beta() -> None:
    """Make the first CSR tensor, with which torch warns, once, that they are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1))


class ByFeature(NamedTuple):
    """A sparse code's entries, feature after feature; `bounds` [F + 1] says where each feature's begin, and the last's
    end."""

    active: Active
    bounds: Int[Tensor, " F+1"]

    @classmethod
    def of(cls, active: Active, num_features: int) -> "ByFeature":
        """The entries sorted by feature, rows ascending within each."""
        features, order = torch.sort(active.features, stable=True)
        entries = Active(active.rows[order], features, active.values[order])
        return cls(entries, bounds_of(features, num_features))

    def code_gradient(self, decoder: Float[Tensor, "F D"], g: Float[Tensor, "R D"]) -> Float[Tensor, " n"]:
        """⟨g of its row, decoder[feature]⟩ of each entry, without materialising the gathered rows.

        This is embedding_bag's own backward, called by name: through torch.autograd.grad a small step takes a
        tenth longer, and every process imports for 2 s first. Its two factors change places, for the order of the
        entries reads the decoder once from one end to the other, and `g`, which is smaller, at random.
        """
        rows, features, _ = self.active
        if not self.active.is_sparse((len(g), len(decoder))):
            return (g @ decoder.T).reshape(-1)[rows * len(decoder) + features]
        if g.device.type != "cpu" and len(rows) >= _MANY * len(decoder):
            return inner_by_product(self.bounds, rows, decoder, g)
        backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
        gradient: Tensor = backward(decoder, g, rows, self.bounds[:-1], features, 0)
        return gradient

    def gather(
        self, source: Float[Tensor, "R D"], rows: Int[Tensor, " n"], weights: Float[Tensor, " n"]
    ) -> Float[Tensor, "F D"]:
        """Σ over a feature's entries of weight · source[row], `rows` being the entries' rows in `source`."""
        num_features = len(self.bounds) - 1
        if self.active.is_sparse((len(source), num_features)):
            return summed(self.bounds, rows, weights, source)
        full = weights.new_zeros(len(source) * num_features)
        full.index_add_(0, rows * num_features + self.active.features, weights)
        return full.view(len(source), -1).T @ source

    def sum(self, values: Float[Tensor, " n"]) -> Float[Tensor, " F"]:
        """Σ over a feature's entries of `values`."""
        return values.new_zeros(len(self.bounds) - 1).index_add_(0, self.active.features, values)
