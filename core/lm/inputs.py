"""What a forward pass is given beside its tokens: images, types of tokens, positions."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from core.lm.images import GRID, Picture, read_pictures, together
from core.lm.loaded import LoadedModel
from core.lm.prompts import EncodedSample

Start = int | Int[Tensor, " B"]
"""The position of a sequence's first token; one for each row where images have grids of their own."""


def model_inputs(
    loaded: LoadedModel,
    ids: Int[Tensor, "B T"],
    mask: Int[Tensor, "B S"],
    samples: Sequence[EncodedSample],
    start: Start = 0,
) -> dict[str, Any]:
    """The keyword arguments of the base model's forward for some tokens.

    `mask` covers what is in a cache too; `samples` are those that begin with these tokens, whose images go with them,
    and none where the tokens continue what is in the cache.
    """
    paths = [sample.image for sample in samples if sample.image is not None]
    pictures = together(read_pictures(loaded, paths)) if paths else {}
    types = token_types(loaded, ids, samples)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": positions(loaded, ids, mask, pictures, start),
        **pictures,
        # Left out, image attention silently turns causal.
        **({} if types is None else {"token_type_ids": types}),
    }


def token_types(
    loaded: LoadedModel, ids: Int[Tensor, "B T"], samples: Sequence[EncodedSample]
) -> Int[Tensor, "B T"] | None:
    """The types that decide who sees whom: 1 on image tokens (Gemma 3), or on captions (PaliGemma); null where the
    model takes none."""
    if not (loaded.shape.has_images and "token_type_ids" in inspect.signature(loaded.base.forward).parameters):
        return None
    if not loaded.prefix_lm:
        return torch.eq(ids, loaded.image_token_id or -1).long()
    ends = torch.tensor([sample.prefix_length for sample in samples] or [0], device=ids.device)
    return (torch.arange(ids.shape[1], device=ids.device) >= ends[:, None]).long().expand(len(ids), -1)


def positions(
    loaded: LoadedModel, ids: Int[Tensor, "B T"], mask: Int[Tensor, "B S"], pictures: Picture, start: Start = 0
) -> Int[Tensor, "*axes B T"]:
    """Where the tokens stand: [1, T] where all rows count alike, [B, T], or [3, B, T] (time, row, column) where an
    image's tokens stand in its grid (Qwen2-VL)."""
    base: Any = loaded.base
    if GRID in pictures and hasattr(base, "get_rope_index"):
        kinds = torch.eq(ids, loaded.image_token_id or -1).int()
        grid: Tensor = base.get_rope_index(
            ids, mm_token_type_ids=kinds, image_grid_thw=pictures[GRID], attention_mask=mask
        )[0]
        return grid
    place = torch.arange(ids.shape[1], device=ids.device)
    if isinstance(start, Tensor):
        return start[:, None] + place
    return (place + start + int(loaded.prefix_lm))[None]  # PaliGemma counts from 1


def behind(place: Int[Tensor, "*axes B T"], length: int) -> Start:
    """The position that follows `length` tokens without padding which stand at `place`: an image's grid takes up less
    room than its tokens."""
    return length if place.ndim == 2 else place.amax(dim=(0, 2)) + 1
