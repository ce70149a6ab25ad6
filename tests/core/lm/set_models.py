"""Models of sets of words that transformers does not know, and the factories that make them."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from core.lm.factory import Encoded, FactoryModel

WORDS, D, LAYERS = 97, 12, 3


class SetLayer(nn.Module):
    """Each item sees itself and the mean of its set (Zaheer et al. 2017): their order does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.others = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, str]:
        weights = mask[..., None].float()
        mean = (x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True).clamp_min(1)
        return x + torch.tanh(self.own(x) + self.others(mean)), "a tuple, as some blocks return"


class DeepSets(nn.Module):
    """Words in, one number a set out; `ran` counts what was run."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, D)
        self.layers = nn.ModuleList(SetLayer() for _ in range(LAYERS))
        self.head = nn.Linear(D, 1)
        self.ran: list[str] = []

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        x = self.embed(words)
        for number, layer in enumerate(self.layers):
            x, _ = layer(x, mask)
            self.ran.append(f"layer {number}")
        self.ran.append("head")
        return self.head((x * mask[..., None]).sum(dim=1))


def encode(samples: Sequence[Mapping[str, Any]]) -> Encoded:
    """The English caption's words as a set, padded on the left to show that padding may stand anywhere."""
    names = [sorted(set((sample["caption_en"] or "").split())) for sample in samples]
    width = max(map(len, names), default=0)
    words = torch.zeros(len(names), width, dtype=torch.long)
    mask = torch.zeros(len(names), width, dtype=torch.bool)
    for row, own in enumerate(names):
        words[row, width - len(own) :] = torch.tensor([zlib.crc32(word.encode()) % WORDS for word in own])
        mask[row, width - len(own) :] = True
    return Encoded({"words": words, "mask": mask}, mask, names)


def load() -> FactoryModel:
    """Deep Sets with the same random weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = DeepSets()
    return FactoryModel(module, encode, {"resid_post": module.layers}, D)


def load_unseeded() -> FactoryModel:
    """Other weights every time: what a factory must not do."""
    module = DeepSets()
    return FactoryModel(module, encode, {"resid_post": module.layers}, D)


def load_outside() -> FactoryModel:
    """A site whose module is another model's."""
    return replace(load(), sites={"resid_post": [DeepSets()]})


def load_nothing() -> dict[str, str]:
    """Something else."""
    return {"not": "a model"}


def load_broken() -> FactoryModel:
    """A factory that fails."""
    raise OSError("weights.safetensors: no such file\nin two lines")


def changed(**fields: Any) -> FactoryModel:
    """The model with other fields."""
    return replace(load(), **fields)


def encoding(change: Callable[[Encoded], Any]) -> FactoryModel:
    """The model whose `encode` is changed."""
    return changed(encode=lambda samples: change(encode(samples)))


NOT_A_FUNCTION = 3
