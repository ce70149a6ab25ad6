"""Rows on their way from the device that computed them to the host's memory."""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import BFloat16, Bool
from torch import Tensor

from core.activations.finite import finite_rows

Fetch = Callable[[BFloat16[Tensor, "n D"]], tuple[BFloat16[Tensor, "n D"], Bool[Tensor, " n"]]]
"""Rows on a device → the rows in the host's memory, and which of them are finite."""


def fetcher(device: torch.device) -> Fetch:
    """Fetch rows that the work sent to the device so far computes; the fetching can be left to another thread."""
    return _from_gpu(device) if device.type == "cuda" else _plain


def _plain(rows: BFloat16[Tensor, "n D"]) -> tuple[BFloat16[Tensor, "n D"], Bool[Tensor, " n"]]:
    rows = rows.cpu()
    return rows, finite_rows(rows)


def _from_gpu(device: torch.device) -> Fetch:
    """Through pinned memory (67 MB from an H200 take 1.2 ms so, and 62 into fresh pages), on a stream beside that of
    the model, on which a copy would wait for the passes sent meanwhile."""
    ready, beside = torch.cuda.current_stream(device).record_event(), _beside(device)

    def fetch(rows: BFloat16[Tensor, "n D"]) -> tuple[BFloat16[Tensor, "n D"], Bool[Tensor, " n"]]:
        with torch.cuda.stream(beside):
            beside.wait_event(ready)
            content = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows, non_blocking=True)
            return content, finite_rows(rows).cpu()  # which waits for the stream, and so for the content too

    return fetch


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
