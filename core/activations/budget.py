"""How many tokens go through the model at once: as the study says, or as a GPU's memory allows."""

from dataclasses import dataclass

import torch

from core.lm.loaded import LoadedModel
from core.study.sites import STREAM, VISION, Site

PASS = 4096
"""Tokens a pass where nothing is known: enough to keep two CPU cores or a GPU busy, and the first pass on a GPU."""
_MOST = 8192
"""gemma-3-4b-it's shape on an H200: 22.6 samples/s with passes of 4096 tokens, 23.5 with 8192, 23.9 with 16,384; two
passes' rows of 34 layers take 2.9 GB with 8192."""
_SHARE = 0.8
"""Of the memory that is free, for the passes differ in shape and the allocator leaves gaps."""


@dataclass
class TokenBudget:
    """The most `tokens` in a pass, padding included; while `probing`, the next passes tell what one costs."""

    tokens: int
    probing: bool = False

    def watch(self, device: torch.device) -> int:
        """Begin to measure the next passes; what is allocated now, in bytes."""
        if not self.probing:
            return 0
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)

    def learn(self, device: torch.device, tokens: int, before: int) -> None:
        """Settle on what fits, after passes of at most `tokens` that began with `before` bytes allocated."""
        cost = max(1.0, (torch.cuda.max_memory_allocated(device) - before) / tokens)
        free, _ = torch.cuda.mem_get_info(device)
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        self.tokens = max(1, min(_MOST, int(_SHARE * (free + spare) / cost)))
        self.probing = False

    def halve(self) -> None:
        """What was tried did not fit."""
        self.tokens, self.probing = self.tokens // 2, False


_KNOWN: dict[tuple[str, torch.device, int | None, bool], TokenBudget] = {}


def budget_of(loaded: LoadedModel, stated: int | None, site: Site = STREAM) -> TokenBudget:
    """The budget of a model on its device, as the shards before left it; a patch of its tower costs another amount.

    On a CPU one that is not stated is always the same, so that passes are composed alike and give the same bits.
    """
    key = (str(loaded.folder), loaded.device, stated, site in VISION)
    if key not in _KNOWN:
        _KNOWN[key] = TokenBudget(stated or PASS, probing=stated is None and loaded.device.type == "cuda")
    return _KNOWN[key]
