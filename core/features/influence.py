"""What a feature does to the next word: the tokens that its direction promotes and suppresses."""

from collections.abc import Iterator, Sequence

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.lm.loaded import LoadedModel
from core.lm.prompts import spell
from core.sae.architectures import SparseAutoencoder

PROMOTED = pl.Schema(
    {
        "feature": pl.UInt32,
        "direction": pl.String,
        "rank": pl.UInt32,
        "token_id": pl.UInt32,
        "token": pl.String,
        "score": pl.Float32,
    }
)
"""Tokens by feature and direction (promoted, suppressed), rank 1 the strongest; `score` is the change of the token's
logit, against the vocabulary's mean, that one unit of the feature makes in a stream of unit norm per dimension."""

_BLOCK_ELEMENTS = 2**25


@torch.no_grad()
def promoted_tokens(sae: SparseAutoencoder, loaded: LoadedModel, features: Sequence[int], n: int) -> pl.DataFrame:
    """The `n` most promoted and most suppressed tokens of each feature.

    Score = decoder row · the final norm's gain · unembedding centred over the vocabulary, soft-capped where the model
    soft-caps its logits: the direct path only ("logit lens on weights"), not what later layers make of it.
    """
    gain = final_gain(loaded)
    directions = sae.W_dec[list(features)].to(gain.device, torch.float32) * gain
    parts = [_ranked(feature, scores, loaded, n) for feature, scores in zip(features, _scores(directions, loaded))]
    return pl.concat(parts) if parts else PROMOTED.to_frame()


def final_gain(loaded: LoadedModel) -> Float[Tensor, " D"]:
    """The factor of the final norm, per dimension, read off the norm itself.

    An RMS norm maps a vector of ones to its gain, whether it multiplies by its weight or, as Gemma's, by 1 + weight.
    """
    norm = loaded.final_norm
    if isinstance(norm, nn.LayerNorm):
        return norm.weight.detach().float()
    ones = torch.ones(loaded.unembedding.shape[1], device=loaded.unembedding.device, dtype=loaded.unembedding.dtype)
    gain: Tensor = norm(ones).detach().float()
    return gain


def _scores(directions: Float[Tensor, "n D"], loaded: LoadedModel) -> Iterator[Float[Tensor, " V"]]:
    vocabulary = loaded.unembedding.detach()
    for block in torch.split(directions, max(1, _BLOCK_ELEMENTS // len(vocabulary))):
        logits = (block.to(vocabulary.dtype) @ vocabulary.T).float()
        yield from logits - logits.mean(dim=1, keepdim=True)  # the same as centring the unembedding


def _ranked(feature: int, scores: Float[Tensor, " V"], loaded: LoadedModel, n: int) -> pl.DataFrame:
    cap = getattr(loaded.text_config, "final_logit_softcapping", None)
    capped = scores if cap is None else cap * torch.tanh(scores / cap)  # ranked before: large scores tie at the cap
    parts = []
    for direction, signed in (("promoted", scores), ("suppressed", -scores)):
        ids = signed.topk(min(n, len(scores))).indices
        columns = {
            "feature": [feature] * len(ids),
            "direction": [direction] * len(ids),
            "rank": range(1, len(ids) + 1),
            "token_id": ids.tolist(),
            "token": [spell(loaded, token) for token in ids.tolist()],
            "score": capped[ids].tolist(),
        }
        parts.append(pl.DataFrame(columns, schema_overrides={"score": pl.Float32}).cast(PROMOTED))
    return pl.concat(parts)
