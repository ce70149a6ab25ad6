"""Interventions on the residual stream: features taken out, replaced by their mean, or turned up.

All activations are read once from the clean stream as it enters the patch; what the SAE does not explain stays as it
was; decoder rows are in the stream's own units.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.lm.generate import Change
from core.lm.patched import LAST_PROMPT
from core.sae.architectures import SparseAutoencoder, SparseCode

Stream = Float[Tensor, "B T D"]


@dataclass(frozen=True)
class EditSite:
    """A clean stream about to be patched, and the sparse code of the R positions that the patch may reach.

    `segments` [R] are those positions' segment codes (`core.lm.patched`).
    """

    stream: Stream
    reach: Bool[Tensor, "B T"]
    segments: Int[Tensor, " R"]
    code: SparseCode
    decoder: Float[Tensor, "F D"]

    def activations(self, features: Sequence[int]) -> Float[Tensor, "R n"]:
        """Activations of some features at the positions reached."""
        wanted = torch.tensor(list(features), device=self.code.indices.device)
        picked: Tensor = _pick(self.code, wanted)
        return picked

    def added(self, delta: Float[Tensor, "R D"]) -> Stream:
        """The stream with `delta` added at the positions reached."""
        patched: Tensor = self.stream.clone()
        patched[self.reach] += delta.to(patched.dtype)
        return patched

    def norms(self) -> Float[Tensor, " R"]:
        """‖x‖ at the positions reached."""
        norms: Tensor = self.stream[self.reach].float().norm(dim=-1)
        return norms


def open_edit_site(
    sae: SparseAutoencoder,
    stream: Stream,
    segments: Int[Tensor, "B T"],
    reach: Bool[Tensor, "B T"],
    limit: float = math.inf,
) -> EditSite:
    """Read a stream's features where `reach` says; the autoencoder moves to the stream's device.

    A position whose norm exceeds `limit` is left as it is, for no autoencoder has learnt from such rows; but for the
    last prompt position, usually a control token, from which nothing is said of an outlier.
    """
    sae = sae.to(stream.device)
    reach = reach & ((segments == LAST_PROMPT) | within(stream, limit))
    with torch.no_grad():
        return EditSite(stream, reach, segments[reach].long(), sae.encode(stream[reach].float()), sae.W_dec.detach())


def within(stream: Stream, limit: float) -> Bool[Tensor, "B T"]:
    """Which positions have a norm of at most `limit`."""
    if math.isinf(limit):
        return torch.ones(stream.shape[:2], dtype=torch.bool, device=stream.device)
    inside: Tensor = stream.float().norm(dim=-1) <= limit
    return inside


def _pick(code: SparseCode, features: Int[Tensor, " n"]) -> Float[Tensor, "R n"]:
    # One feature at a time: [R, K, n] would be large, and n is small.
    zero = torch.zeros((), device=code.values.device)
    columns = [torch.where(code.indices == feature, code.values, zero).sum(dim=1) for feature in features]
    return torch.stack(columns, dim=1)


@dataclass(frozen=True)
class Ablation:
    """Features taken out: x ← x − Σ_f (a_f − a′_f) · d_f.

    `replacement` gives a′ by segment code, null means 0 everywhere; `segments` limits the patch to positions of some
    segment codes, null reaches all.
    """

    features: tuple[int, ...]
    replacement: Mapping[int, Float[Tensor, " n"]] | None = None
    segments: tuple[int, ...] | None = None

    def delta(self, site: EditSite) -> Float[Tensor, "R D"]:
        """What is added to the stream at the positions reached."""
        difference = site.activations(self.features)
        for segment, values in (self.replacement or {}).items():
            difference = difference - (site.segments == segment)[:, None] * values.to(difference)
        if self.segments is not None:
            chosen = torch.isin(site.segments, torch.tensor(self.segments, device=site.segments.device))
            difference = difference * chosen[:, None]
        delta: Tensor = -difference @ site.decoder[list(self.features)]
        return delta

    def __call__(self, site: EditSite) -> Stream:
        """The patched stream."""
        return site.added(self.delta(site))


@dataclass(frozen=True)
class Steering:
    """A vector added wherever the patch reaches: x ← x + v."""

    vector: Float[Tensor, " D"]

    def delta(self, site: EditSite) -> Float[Tensor, "R D"]:
        """What is added to the stream at the positions reached."""
        return self.vector.to(site.stream.device).expand(int(site.segments.numel()), -1)

    def __call__(self, site: EditSite) -> Stream:
        """The patched stream."""
        return site.added(self.delta(site))


def during_generation(sae: SparseAutoencoder, patch: Ablation | Steering, limit: float = math.inf) -> Change:
    """The same patch for `core.lm.generate`: activations are read from each step's own stream, and positions of a norm
    beyond `limit` are left as they are.

    Segments are not told apart there, so an ablation limited to some of them, or with means by segment, is refused.

    Raises:
        ValueError: the patch depends on segments.
    """
    if isinstance(patch, Ablation) and (patch.segments is not None or patch.replacement is not None):
        raise ValueError("a patch that depends on segments cannot run during generation")

    def change(stream: Stream, reach: Bool[Tensor, "B T"]) -> Stream:
        segments = torch.zeros_like(reach, dtype=torch.int8)
        if reach.shape[1] > 1:  # the prompt itself, whose last position has a code of its own
            segments[:, -1] = LAST_PROMPT
        return patch(open_edit_site(sae, stream, segments, reach, limit))

    return change
