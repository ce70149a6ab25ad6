"""What a norm multiplies by."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def norm_gain(norm: nn.Module, like: Float[Tensor, "... D"]) -> Float[Tensor, " D"]:
    """The factor of a norm, per dimension, read off the norm itself; `like` has its width, type and device.

    A vector of +1 and −1 in turn has mean 0 and norm 1 per dimension: an RMS norm maps it to its gain with these signs,
    whether it multiplies by its weight or, as Gemma's, by 1 + weight, and so does a norm that takes the mean out. A
    bias falls out of half the difference to what the opposite vector gives.
    """
    if isinstance(norm, nn.LayerNorm):
        return norm.weight.detach().float()
    signs = torch.ones(like.shape[-1], device=like.device, dtype=like.dtype)
    signs[1::2] = -1
    gain: Tensor = (norm(signs).detach() - norm(-signs).detach()).float() / 2 * signs.float()
    return gain
