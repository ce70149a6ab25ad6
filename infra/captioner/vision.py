"""The first phase: the vision tower learns the pictures' attributes.

Without it the text model settles on the grammar of captions, ignores the image, and sends the tower no gradient
(the plateau that facts of the project report). The heads read the projected image tokens, so the projector learns too;
they are thrown away afterwards.
"""

import time

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import Gemma3ForConditionalGeneration

from infra.captioner.corpus import ATTRIBUTES, Encoded, pixels
from infra.captioner.optimise import adamw, batches, cosine

BATCH, RATE = 32, 1e-3
"""Small batches: the tower learns by the number of updates, and the visible gender comes last."""
WEIGHTS = {"visible": 2.0}
"""Attributes that count more than once in the loss."""


class AttributeHeads(nn.Module):
    """For each attribute a query that looks at the image tokens, as a text token will, and a linear classifier."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), width, generator=generator) * 0.1)
        self.positions = nn.Parameter(torch.randn(16, width, generator=generator) * 0.1)
        self.classifiers = nn.ModuleList([nn.Linear(width, len(classes)) for classes in ATTRIBUTES.values()])
        for classifier in self.classifiers:
            nn.init.normal_(classifier.weight, std=0.1, generator=generator)
            nn.init.zeros_(classifier.bias)

    def forward(self, tokens: Float[Tensor, "N P D"]) -> list[Float[Tensor, "N C"]]:
        """Return each attribute's class scores."""
        keys = tokens + self.positions
        weights = torch.einsum("ad,npd->nap", self.queries, keys).softmax(-1)
        seen = torch.einsum("nap,npd->nad", weights, keys)
        return [classifier(seen[:, index]) for index, classifier in enumerate(self.classifiers)]


def train_vision(model: Gemma3ForConditionalGeneration, corpus: Encoded, steps: int, seed: int) -> dict[str, float]:
    """Train tower and projector on the attributes; return the training accuracy of the last three hundred steps."""
    heads = AttributeHeads(model.config.text_config.hidden_size, torch.Generator().manual_seed(seed))
    trained = [model.model.vision_tower, model.model.multi_modal_projector, heads]
    named = [pair for module in trained for pair in module.named_parameters()]
    optimiser = adamw(named, RATE)
    schedule = cosine(optimiser, steps, warmup=200)
    recent: list[np.ndarray] = []
    start = time.monotonic()
    for step, rows in enumerate(batches(len(corpus.pictures), BATCH, steps, np.random.default_rng([seed, 1]))):
        scores = heads(image_tokens(model, corpus, rows))
        classes = torch.from_numpy(corpus.attributes[rows])
        loss = _loss(scores, classes)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([weight for _, weight in named], 1.0)
        optimiser.step()
        schedule.step()
        recent.append(np.array([(s.argmax(-1) == classes[:, a]).float().mean() for a, s in enumerate(scores)]))
        if step % 250 == 249:
            _report(step + 1, loss.item(), _accuracy(recent), time.monotonic() - start)
    return _accuracy(recent)


def image_tokens(model: Gemma3ForConditionalGeneration, corpus: Encoded, rows: np.ndarray) -> Float[Tensor, "N P D"]:
    """Return the projected image tokens of some pictures."""
    return model.model.get_image_features(pixels(corpus.pictures[rows]), return_dict=True).pooler_output


def _loss(scores: list[Float[Tensor, "N C"]], classes: Int[Tensor, "N A"]) -> Float[Tensor, ""]:
    parts = [functional.cross_entropy(score, classes[:, index]) for index, score in enumerate(scores)]
    return torch.stack([WEIGHTS.get(name, 1.0) * part for name, part in zip(ATTRIBUTES, parts, strict=True)]).sum()


def _accuracy(recent: list[np.ndarray]) -> dict[str, float]:
    mean = np.stack(recent[-300:]).mean(axis=0)
    return {name: round(float(value), 4) for name, value in zip(ATTRIBUTES, mean, strict=True)}


def _report(step: int, loss: float, accuracy: dict[str, float], seconds: float) -> None:
    print(f"vision {step:5d}  loss {loss:.3f}  {accuracy}  {seconds:.0f} s", flush=True)
