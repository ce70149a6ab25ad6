"""The machine's own ceilings, measured, and the sizes of a run: a part of benchmarks/gpu.py."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

NO_TIME = "no time was left (--seconds)"
"""Why a part of a run was skipped."""


@dataclass(frozen=True)
class Size:
    """How large everything is; `divisor` divides the widths of gemma-3-4b-it, and `side` is its image's."""

    d_model: int
    expansion: int
    k: int
    rows: int
    batches: tuple[int, ...]
    steps: int
    layers_at_once: tuple[int, ...]
    divisor: int
    side: int
    samples: int
    probe: int
    dtype: str


FULL = Size(2560, 8, 64, 88_000, (4096, 256), 60, (1, 2, 4), 1, 896, 48, 8192, "bfloat16")
SMALL = Size(64, 8, 8, 2048, (512, 64), 6, (1, 2), 16, 224, 4, 256, "float32")


def default_device() -> str:
    """The first GPU, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def settle(device: str) -> None:
    """Wait until all that was sent to the GPU is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], device: str, times: int = 5) -> float:
    """The median of `times` runs after one that is not counted."""
    taken = []
    for _ in range(times + 1):
        settle(device)
        began = time.perf_counter()
        work()
        settle(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def reset_peak(device: str) -> None:
    """Reset the peak of allocated memory."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float | None:
    """The most memory that tensors took since `reset_peak`, in GiB; null on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None


@dataclass(frozen=True)
class Ceilings:
    """What the device reaches on the two operations that bound everything here: bytes/s and FLOP/s."""

    copy: float
    bfloat16: float
    float32: float


def ceilings(device: str, probe: int) -> Ceilings:
    """A copy (read and written), and products of square matrices of side `probe`."""
    source = torch.zeros(probe * probe * 8, dtype=torch.float32, device=device)
    copied = 2 * 4 * source.numel() / seconds(source.clone, device)
    del source

    def product(dtype: torch.dtype) -> float:
        a, b = (torch.randn(probe, probe, device=device).to(dtype) for _ in range(2))
        return 2 * probe**3 / seconds(lambda: a @ b, device)

    return Ceilings(copied, product(torch.bfloat16), product(torch.float32))


def machine(device: str) -> dict[str, Any]:
    """What it is called, and the versions."""
    import transformers

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU",
        "threads": torch.get_num_threads(),
    }
    if device == "cuda":
        found["memory_gib"] = torch.cuda.get_device_properties(0).total_memory / 2**30
    print(" · ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    return found
