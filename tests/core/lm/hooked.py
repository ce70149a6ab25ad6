"""Tiny models with hook points, and a change that any point can take."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.lm.hook_points import Hook
from core.lm.language_model import LanguageModel
from core.lm.loading import load_model
from core.lm.texts import TextBatch
from tests.core.lm.families import save_family
from tests.core.lm.tiny import save_tiny_gemma, save_tiny_text_gemma

KINDS = ("gemma", "text gemma", "llama", "gpt2")
TEXTS = ["A woman is singing in a park. She holds", "A man", "رجل يطبخ في مطبخ"]
SHIFT = torch.randn(32, generator=torch.Generator().manual_seed(1)) * 3


def opened_with_hooks(kind: str, folder: Path) -> LanguageModel:
    save: dict[str, Callable[[Path], Path]] = {
        "gemma": save_tiny_gemma,
        "text gemma": save_tiny_text_gemma,
        "llama": lambda place: save_family("llama", place),
        "gpt2": lambda place: save_family("gpt2", place),
    }
    opened = load_model(save[kind](folder), "float32", "cpu")
    # Tied to the embeddings, a random model's head repeats the last token for ever; one of its own does not.
    head = torch.nn.Linear(32, opened.unembedding.shape[0], bias=False).requires_grad_(False)
    head.weight.normal_(generator=torch.Generator().manual_seed(3))
    model: Any = opened.model
    model.set_output_embeddings(head)
    return LanguageModel(replace(opened, unembedding=head.weight))


def shifted(dose: float) -> Callable[[Tensor, Hook], Tensor]:
    """Adds the same vector everywhere, as wide as the point is."""
    return lambda stream, hook: stream + dose * SHIFT.repeat(4)[: stream.shape[-1]]


def of_row(lm: LanguageModel, batch: TextBatch, row: int) -> Tensor:
    """The row's logits at its tokens."""
    return lm.run(batch)[row, batch.real[row]]


def number_of_hooks(lm: LanguageModel) -> int:
    """Ours and transformers' own, which stay once hidden states were asked for."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.model.modules())
