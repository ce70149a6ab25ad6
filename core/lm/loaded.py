"""A model ready for reading activations: its parts found by structure, not by class."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.lm.shape import ModelShape
from core.lm.sites import Point, points, vision_points, width
from core.study.sites import VISION, Site, extent


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for reading: in evaluation mode, without gradients, on one device.

    `base` is the model without its vocabulary head (vision tower included); `text_model` is the decoder within it
    that holds the `blocks`. `processor` is null for a model of text only. `control_ids` are tokens that steer the model
    and stand for no text: BOS, turns, image markers, padding. `notes` say what is read otherwise than it is stored,
    `unresumable` why no pass can be resumed above a layer, where none can, `unwritable` why nothing can be generated.
    `forks_apart` tells that the two sides of a forked row (`core.lm.forks`) must run as rows of their own. `coming` are
    the images that are being read for the passes to come (`core.lm.images.read_ahead`).
    """

    folder: Path
    model: nn.Module
    tokenizer: Any
    processor: Any | None
    device: torch.device
    dtype: torch.dtype
    shape: ModelShape
    base: nn.Module
    text_model: nn.Module
    blocks: nn.ModuleList
    final_norm: nn.Module
    unembedding: Float[Tensor, "V D"]
    control_ids: frozenset[int]
    notes: tuple[str, ...] = ()
    unresumable: str = ""
    unwritable: str = ""
    forks_apart: bool = False
    coming: dict[Path, Future[Any]] = field(default_factory=dict, compare=False, repr=False)

    def points(self, site: Site) -> Sequence[Point]:
        """Where `site` is read in each layer.

        Raises:
            BadInput: the blocks have no such part, or the model no vision tower or projector.
        """
        if site in VISION:
            return vision_points(self.base, site, self.shape.vision_layers)
        return points(self.blocks, site)

    def width(self, site: Site) -> int:
        """Numbers per row of `site`.

        Raises:
            BadInput: the blocks have no such part.
        """
        if site in VISION:
            return extent(self.shape, site).width
        return width(self.blocks, site, self.shape.d_model)

    @property
    def text_config(self) -> Any:
        """The decoder's configuration: window, layer types, soft-capping."""
        return self.text_model.config

    @property
    def prefix_lm(self) -> bool:
        """Whether every token of a prompt sees all of the prompt, and captions alone are causal (PaliGemma)."""
        return self.shape.model_type == "paligemma"

    @property
    def image_token_id(self) -> int | None:
        """Id of the token that stands for one soft token of the image; null for a model of text only."""
        config: Any = self.model.config
        token = getattr(config, "image_token_id", None)
        return int(token) if token is not None and self.shape.has_images else None


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that steer the model and stand for no text."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}
