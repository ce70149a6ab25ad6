"""Learning rates and batches of both training phases; every random choice comes from a generator that is handed in."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn


def adamw(named: list[tuple[str, nn.Parameter]], rate: float) -> torch.optim.AdamW:
    """Decay matrices only: a norm's gain has its own zero, and biases have no reason to shrink."""
    matrices = [weight for _, weight in named if weight.dim() > 1]
    vectors = [weight for _, weight in named if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def cosine(optimiser: torch.optim.Optimizer, steps: int, warmup: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Warm up linearly, then fall to a fiftieth along a cosine."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def batches(count: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `steps` batches of row numbers; each epoch is a new permutation, its incomplete batch left out."""
    order, taken = rng.permutation(count), 0
    for _ in range(steps):
        if taken + size > count:
            order, taken = rng.permutation(count), 0
        yield order[taken : taken + size]
        taken += size
