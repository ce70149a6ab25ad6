"""What a norm multiplies by."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def norm_gain(norm: nn.Module, like: Float[Tensor, "... D"]) -> Float[Tensor, " D"]:
    """The factor of a norm, per dimension, read off the norm itself; `like` has its width, type and device.

    An RMS norm maps a vector of ones to its gain, whether it multiplies by its weight or, as Gemma's, by 1 + weight.
    """
    if isinstance(norm, nn.LayerNorm):
        return norm.weight.detach().float()
    ones = torch.ones(like.shape[-1], device=like.device, dtype=like.dtype)
    gain: Tensor = norm(ones).detach().float()
    return gain
