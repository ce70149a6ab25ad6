"""The logit lens through an autoencoder: what the model would say of a layer's stream as the features rebuild it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadInput
from core.lm.lens import LensReading, read_lens
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


@torch.no_grad()
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
    if sae.d_model != stream.shape[-1] or sae.d_out != stream.shape[-1]:
        raise BadInput(f"logit lens: the SAE is of rows of {sae.d_model} numbers; these have {stream.shape[-1]}")
    place = sae.W_dec.device
    parts = [sae.decode(code) for _, code in encode_blocks(sae, stream.to(place))]
    rebuilt = torch.cat(parts) if parts else stream.new_zeros(stream.shape)
    x, made = stream.double(), rebuilt.to(stream.device).double()
    missed = (x - made).square().sum(dim=1)
    spread = float((x - x.mean(dim=0)).square().sum()) if len(x) else 0.0
    reading = read_lens(loaded, rebuilt, final, k=k, tokens=tokens)
    kl = read_lens(loaded, rebuilt, stream, k=1).kl
    assert kl is not None  # final rows were given
    error = (missed.sqrt() / x.norm(dim=1).clamp_min(1e-12)).float()
    return ThroughSAE(reading, error, unexplained_share(float(missed.sum()), spread), kl)
