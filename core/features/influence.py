"""What a feature does to the next word: the tokens that its direction promotes and suppresses."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.lm.loaded import LoadedModel
from core.lm.norms import norm_gain
from core.lm.prompts import spell
from core.progress import Progress, silent
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

INFLUENCES = 100
"""Tokens kept of each direction where all features are described."""
_BLOCK_ELEMENTS = 2**25
_FEATURES_AT_ONCE = 1024


def influences(sae: SparseAutoencoder, loaded: LoadedModel, progress: Progress = silent) -> pl.DataFrame:
    """The 100 tokens that each feature of the SAE promotes most, and suppresses most: `PROMOTED`."""
    parts = []
    for start in range(0, sae.num_features, _FEATURES_AT_ONCE):
        stop = min(start + _FEATURES_AT_ONCE, sae.num_features)
        parts.append(promoted_tokens(sae, loaded, range(start, stop), INFLUENCES))
        progress(stop, sae.num_features)
    return pl.concat(parts)


@torch.no_grad()
def promoted_tokens(sae: SparseAutoencoder, loaded: LoadedModel, features: Sequence[int], n: int) -> pl.DataFrame:
    """The `n` most promoted and most suppressed tokens of each feature.

    Score = decoder row · the final norm's gain · unembedding centred over the vocabulary, soft-capped where the model
    soft-caps its logits: the direct path only ("logit lens on weights"), not what later layers make of it.
    """
    gain = norm_gain(loaded.final_norm, loaded.unembedding)
    directions = sae.W_dec[list(features)].to(gain.device, torch.float32) * gain
    parts = [
        _ranked(list(features)[start : start + len(scores)], scores, loaded, n)
        for start, scores in _scores(directions, loaded)
    ]
    return pl.concat(parts) if parts else PROMOTED.to_frame()


def _scores(directions: Float[Tensor, "n D"], loaded: LoadedModel) -> Iterator[tuple[int, Float[Tensor, "f V"]]]:
    """The scores of a block of features, and the place of its first."""
    vocabulary = loaded.unembedding.detach()
    size = max(1, _BLOCK_ELEMENTS // len(vocabulary))
    for start in range(0, len(directions), size):
        logits = (directions[start : start + size].to(vocabulary.dtype) @ vocabulary.T).float()
        yield start, logits - logits.mean(dim=1, keepdim=True)  # the same as centring the unembedding


def _ranked(features: Sequence[int], scores: Float[Tensor, "f V"], loaded: LoadedModel, n: int) -> pl.DataFrame:
    n = min(n, scores.shape[1])
    # Ranked before the cap: large scores tie at it.
    ids = torch.stack([signed.topk(n, dim=1).indices for signed in (scores, -scores)], dim=1)
    chosen = scores.gather(1, ids.flatten(1))
    cap = getattr(loaded.text_config, "final_logit_softcapping", None)
    capped = chosen if cap is None else cap * torch.tanh(chosen / cap)
    token_ids = ids.flatten().cpu().numpy()
    columns = {
        "feature": np.repeat(features, 2 * n),
        "direction": np.tile(np.repeat(["promoted", "suppressed"], n), len(features)),
        "rank": np.tile(np.arange(1, n + 1), 2 * len(features)),
        "token_id": token_ids,
        "score": capped.flatten().cpu().numpy(),
    }
    named = {int(token): spell(loaded, int(token)) for token in np.unique(token_ids)}
    frame = pl.DataFrame(columns).with_columns(token=pl.col("token_id").replace_strict(named, return_dtype=pl.String))
    return frame.select(PROMOTED.names()).cast(PROMOTED)
