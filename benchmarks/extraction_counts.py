"""Operations of a pass by formula, and gemma-3-4b-it's shape at two sizes: a part of benchmarks/extraction.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoProcessor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    SiglipVisionConfig,
)

Pass = tuple[int, int]
"""Queries and keys of one sequence in one pass."""
SMALL = 4
"""By what the widths of the scaled-down model are divided; its image's side by two, for 1,024 patches of 4,096."""


@dataclass(frozen=True)
class Counts:
    """What a model multiplies: `blocks` weights a token, `vision` weights a patch; widths of attention over all layers.

    Norms, embeddings, softmax and activations are not counted; attention is counted as a full rectangle.
    """

    layers: int
    d_model: int
    blocks: int
    attention: int
    head: int
    patches: int
    vision: int
    vision_attention: int
    projector: int

    @classmethod
    def of(cls, model: Any) -> "Counts":
        """Read off a transformers model, which may have no weights (device `meta`)."""
        decoder, text = model.get_decoder(), model.get_decoder().config
        vision = getattr(model.config, "vision_config", None)
        patches = (vision.image_size // vision.patch_size) ** 2 if vision else 0
        return cls(
            layers=text.num_hidden_layers,
            d_model=text.hidden_size,
            blocks=_weights(decoder.layers),
            attention=text.num_hidden_layers * text.num_attention_heads * text.head_dim,
            head=text.vocab_size * text.hidden_size,
            patches=patches,
            vision=_weights(model.base_model.vision_tower) if vision else 0,
            vision_attention=vision.num_hidden_layers * vision.hidden_size if vision else 0,
            projector=model.config.mm_tokens_per_image * vision.hidden_size * text.hidden_size if vision else 0,
        )

    def text(self, passes: Iterable[Pass], logits: bool = False) -> int:
        """Operations of the decoder: 2 · weights · tokens, and 4 · queries · keys · width for attention."""
        weights = self.blocks + (self.head if logits else 0)
        return sum(2 * weights * queries + 4 * queries * keys * self.attention for queries, keys in passes)

    def image(self) -> int:
        """Operations of the vision tower and its projector for one image."""
        return 2 * self.vision * self.patches + 4 * self.patches**2 * self.vision_attention + 2 * self.projector


def _weights(part: nn.Module) -> int:
    return sum(one.weight.numel() for one in part.modules() if isinstance(one, nn.Linear | nn.Conv2d))


def real_shape() -> Counts:
    """gemma-3-4b-it's, without its weights."""
    with torch.device("meta"):
        return Counts.of(Gemma3ForConditionalGeneration(_gemma(1, 896)))


def save_shape(out: Path, captioner: Path) -> Path:
    """The scaled-down model with random weights, and the captioner's processor at its image size."""
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(gemma_config(SMALL, 448, captioner, **_vocabulary(captioner))).save_pretrained(out)
    save_processor(out, captioner, 448)
    return out


def _vocabulary(captioner: Path) -> dict[str, int]:
    return {"vocab_size": Gemma3Config.from_pretrained(captioner).text_config.vocab_size}


def gemma_config(divisor: int, side: int, captioner: Path, **more: int) -> Gemma3Config:
    """The shape with its widths divided, and the captioner's image tokens, whose processor it goes with."""
    small = Gemma3Config.from_pretrained(captioner)
    config = _gemma(divisor, side, pad_token_id=0, **more)
    for name in ("image_token_index", "boi_token_index", "eoi_token_index"):
        setattr(config, name, getattr(small, name))
    return config


def save_processor(out: Path, captioner: Path, side: int) -> Gemma3Processor:
    """The captioner's processor for an image of `side` pixels and 256 image tokens, written to `out`."""
    made = AutoProcessor.from_pretrained(captioner, backend="pil")
    made.image_processor.size = {"height": side, "width": side}
    more = {"chat_template": made.chat_template, "image_seq_length": 256}
    processor = Gemma3Processor(made.image_processor, made.tokenizer, **more)
    processor.save_pretrained(out)
    return processor


def _gemma(divisor: int, side: int, **more: int) -> Gemma3Config:
    """gemma-3-4b-it with its widths divided: 34 layers, 27 of vision, 256 image tokens all the same."""
    text = Gemma3TextConfig(
        hidden_size=2560 // divisor,
        intermediate_size=10240 // divisor,
        num_hidden_layers=34,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256 // divisor,
        query_pre_attn_scalar=256 // divisor,
        sliding_window=1024,
        **{"vocab_size": 262_208, **more},
    )
    vision = SiglipVisionConfig(
        hidden_size=1152 // divisor,
        intermediate_size=4304 // divisor,
        num_hidden_layers=27,
        num_attention_heads=16 // divisor,
        image_size=side,
        patch_size=14,
        vision_use_head=False,
    )
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=256)
