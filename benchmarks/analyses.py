"""What each analysis of the toolkit costs against the numbers of images N, features F and layers L, beside its floor.

Run: OMP_NUM_THREADS=1 python -m benchmarks.analyses [NAME …]

Planted tables in memory (those of the tests), no model: of `interactions` and `causal_map`, whose time is the model's
forward passes, only what is done with their results is measured. CPU seconds include the analysis's null draws at
their defaults (`probes`: 100 instead of 1000, of one position set instead of six). Floor: the larger of reading the
input once at the speed of memory, and of the products and draws that the method's formula asks for at the speed of a
dense product; both speeds are measured in the same run. The last columns are exponents of CPU seconds in N, F and L,
fitted over factors of 4, 16 and 4.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.analysis_inputs import WIDTH, Size, Work, planted_sets, works

BASE = Size(120, 256, 1)
STEPS: Mapping[str, tuple[int, ...]] = {"images": (1, 2, 4), "features": (1, 4, 16), "layers": (1, 2, 4)}


@dataclass(frozen=True)
class Cost:
    """CPU seconds, growth of the resident set at its peak in MB, and what is counted of the input and the formula."""

    seconds: float
    peak: float
    read: float
    flops: float


def measure(work: Work) -> Cost:
    """Run it once."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before, start = _status("VmRSS"), time.process_time()
    work.run()
    seconds = time.process_time() - start
    return Cost(seconds, (_status("VmHWM") - before) / 1e3, work.read, work.flops())


def _status(name: str) -> float:
    """A line of this process's status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def sizes(axis: str) -> Iterator[Size]:
    """The sizes along an axis, the others as in `BASE`."""
    for factor in STEPS[axis]:
        yield Size(**{**vars(BASE), axis: getattr(BASE, axis) * factor})


def exponent(costs: list[Cost], axis: str) -> float:
    """The slope of log seconds over log size."""
    return float(np.polyfit(np.log(STEPS[axis]), np.log([one.seconds for one in costs]), 1)[0])


@cache
def speeds() -> tuple[float, float]:
    """Floating-point operations per second of a dense product, and bytes per second that are read from memory."""
    square, long = np.random.default_rng(0).normal(size=(1024, 1024)), np.ones(32_000_000)
    return 2 * 1024**3 / _fastest(lambda: square @ square), long.nbytes / _fastest(long.sum)


def _fastest(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(4):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def floor(cost: Cost) -> float:
    """The seconds below which nothing that does this work can be."""
    product, memory = speeds()
    return max(cost.flops / product, cost.read / memory)


def main() -> None:
    """Measure all analyses and print the table."""
    product, memory = speeds()
    print(
        f"dense product {product / 1e9:.0f} GFLOP/s, reading {memory / 1e9:.0f} GB/s; D {WIDTH}, {BASE}\n", flush=True
    )
    print("| analysis | CPU s | peak MB | MB read | GFLOP | floor, ms | × floor | largest, s | N^ | F^ | L^ |")
    print("|---|" + "---|" * 10)
    began = time.process_time()
    with planted_sets():
        chosen = sys.argv[1:] or list(works())
        for name, prepare in ((name, works()[name]) for name in chosen):
            measure(prepare(BASE))  # imports and caches
            found = {axis: [measure(prepare(size)) for size in sizes(axis)] for axis in STEPS}
            print(_line(name, found), flush=True)
    print(f"\n{time.process_time() - began:.0f} s of CPU in all, building the tables included")


def _line(name: str, found: Mapping[str, list[Cost]]) -> str:
    base, every = found["images"][0], [one for costs in found.values() for one in costs]
    most = max(every, key=lambda one: one.seconds)
    words = [f"{base.seconds:.2f}", f"{max(one.peak for one in every):,.0f}", f"{base.read / 1e6:.1f}"]
    words += [f"{base.flops / 1e9:.2f}", f"{1e3 * floor(base):.1f}", f"{base.seconds / floor(base):,.0f}"]
    words += [f"{most.seconds:.2f}", *(f"{exponent(costs, axis):.2f}" for axis, costs in found.items())]
    return f"| {name} | {' | '.join(words)} |"


if __name__ == "__main__":
    main()
