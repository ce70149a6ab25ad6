"""The logit lens through an autoencoder: what the model would say of a layer's stream as the features rebuild it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadInput
from core.lm.lens import LensReading, read_together
from core.lm.loaded import LoadedModel
from core.sae.architectures import SparseAutoencoder
from core.sae.metrics import encode_blocks, unexplained_share


@dataclass(frozen=True)
class ThroughSAE:
    """What the lens reads in an autoencoder's reconstruction of n rows, and how far that is from the rows.

    `error` is ‖x − x̂‖ / ‖x‖ by row; `fvu` the fraction of variance unexplained over all of them, NaN where they are
    identical; `divergence` KL(lens of x ‖ lens of x̂) in nats, by row: what the error changes of what is read.
    """

    reading: LensReading
    error: Float[Tensor, " n"]
    fvu: float
    divergence: Float[Tensor, " n"]


@dataclass(frozen=True)
class Readings:
    """What the lens reads in rows (`plain`) and through dictionaries by name; the likeliest token of the final rows."""

    plain: LensReading
    through: Mapping[str, ThroughSAE]
    final_ids: Int[Tensor, " n"] | None


def read_lens_through(
    loaded: LoadedModel,
    sae: SparseAutoencoder,
    stream: Float[Tensor, "n D"],
    final: Float[Tensor, "n D"] | None = None,
    *,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> ThroughSAE:
    """Read the reconstruction of rows of a layer's stream; `final`, `k` and `tokens` as in `read_lens`.

    Raises:
        BadInput: the autoencoder reads rows of another width, or as `read_lens`.
    """
    return read_all_through(loaded, {"": sae}, stream, final, k=k, tokens=tokens).through[""]


@torch.no_grad()
def read_all_through(
    loaded: LoadedModel,
    saes: Mapping[str, SparseAutoencoder],
    stream: Float[Tensor, "n D"],
    final: Float[Tensor, "n D"] | None = None,
    *,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> Readings:
    """Read rows of a layer's stream and their reconstructions by several dictionaries: the rows, each reconstruction
    and `final` go through the vocabulary head once.

    Raises:
        BadInput: as `read_lens_through`.
    """
    rebuilt = {name: _rebuilt(sae, stream) for name, sae in saes.items()}
    found = read_together(loaded, [stream, *rebuilt.values()], final, k=k, tokens=tokens)
    x = stream.double()
    spread = float((x - x.mean(dim=0)).square().sum()) if len(x) else 0.0
    through = {}
    for number, (name, made) in enumerate(rebuilt.items(), start=1):
        missed = (x - made.to(stream.device).double()).square().sum(dim=1)
        error = (missed.sqrt() / x.norm(dim=1).clamp_min(1e-12)).float()
        share = unexplained_share(float(missed.sum()), spread)
        through[name] = ThroughSAE(found.readings[number], error, share, found.divergences[number])
    return Readings(found.readings[0], through, found.final_ids)


def _rebuilt(sae: SparseAutoencoder, stream: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
    if sae.d_model != stream.shape[-1] or sae.d_out != stream.shape[-1]:
        raise BadInput(f"logit lens: the SAE is of rows of {sae.d_model} numbers; these have {stream.shape[-1]}")
    parts = [sae.decode(code) for _, code in encode_blocks(sae, stream.to(sae.W_dec.device))]
    return torch.cat(parts) if parts else stream.new_zeros(stream.shape)
