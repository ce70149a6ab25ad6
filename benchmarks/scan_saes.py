"""Clocks and random SAEs for the benchmark of a concept scan."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from core.features.columns import block_rows
from core.sae.architectures import SparseAutoencoder
from core.sae.formats import assemble

FEATURES = 16_384
_ROUNDS = 3
Given = TypeVar("Given")


def clocked(what: Callable[[], Given]) -> tuple[float, Given]:
    """Seconds of a call, and what it gives: of this thread's processor where torch has one thread, else of the wall."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    found = what()
    return clock() - began, found


def fastest(what: Callable[[], object]) -> float:
    """Least seconds of some calls: other work on the machine only adds to them."""
    return min(clocked(what)[0] for _ in range(_ROUNDS))


def peak_told(peak: float) -> str:
    """The peak, and what is meant by seconds."""
    threads = torch.get_num_threads()
    clock = "seconds of one processor" if threads == 1 else "wall seconds"
    return f"\nGEMM peak: {peak / 1e9:.0f} GFLOP/s, {threads} threads; s: {clock}"


def gemm_peak(width: int) -> float:
    """FLOP per second of dense products alone, in the better of the encoder's shape and a square one."""
    found = []
    for m, k, n in ((block_rows(FEATURES), width, FEATURES), (2048, 2048, 2048)):
        a, b = torch.randn(m, k), torch.randn(k, n)
        torch.mm(a, b)
        found.append(2 * m * k * n / fastest(lambda a=a, b=b: torch.mm(a, b)))
    return max(found)


def random_jump_relu(width: int, threshold: float, seed: int) -> SparseAutoencoder:
    """Unit encoder columns drawn by seed, the decoder their transpose."""
    encoder = torch.randn(width, FEATURES, generator=torch.Generator().manual_seed(seed))
    encoder /= encoder.norm(dim=0)
    zeros = {"b_enc": torch.zeros(FEATURES), "b_dec": torch.zeros(width)}
    levels = torch.full((FEATURES,), threshold)
    return assemble({"W_enc": encoder, "W_dec": encoder.T.contiguous(), "threshold": levels, **zeros}, None)


def fitted(x: Tensor, l0: int, seed: int) -> SparseAutoencoder:
    """A random JumpReLU that centres the rows, with about this L0 on them."""
    sae = random_jump_relu(x.shape[1], 0.0, seed)
    sae.b_dec += x.mean(0)
    sample = x[:: max(1, len(x) // 256)]
    before = ((sample - sae.b_dec) @ sae.W_enc).flatten()
    sae.threshold.fill_(float(before.kthvalue(len(before) - len(sample) * l0).values))
    return sae


class Nowhere:
    """Takes rows and writes none."""

    def append(self, *_: np.ndarray) -> None:
        """Nothing is kept."""


def size(folder: Path, pattern: str = "*") -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())
