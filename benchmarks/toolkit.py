"""What the toolkit costs: a spectrum of a product without forming it, and probes, against the number of rows and width.

Run: OMP_NUM_THREADS=1 python benchmarks/toolkit.py
"""

import resource
import time
from collections.abc import Callable

import numpy as np
import torch

from core.stats.factored import FactoredMatrix
from core.stats.probe_task import ProbeTask
from core.stats.probing import linear_probe, sparse_probes


def seconds(work: Callable[[], object]) -> float:
    """The median of three runs, but of one where it takes more than ten seconds."""
    taken: list[float] = []
    while len(taken) < 3 and (not taken or taken[0] < 10):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def products() -> None:
    """W_dec · W_enc, [F, F] through D: beside the dense product's singular values while those are affordable."""
    print("| D | F | factored, s | dense, s | dense, MB |\n|---|---|---|---|---|")
    for width, features in ((576, 1024), (576, 2048), (576, 4608), (640, 16_384)):
        made = torch.Generator().manual_seed(0)
        left, right = (torch.randn(features, width, generator=made) for _ in range(2))
        own = seconds(lambda left=left, right=right: FactoredMatrix(left, right.T).S)
        dense = "–"
        if features <= 2048:
            dense = f"{seconds(lambda left=left, right=right: torch.linalg.svdvals(left @ right.T)):.2f}"
        print(f"| {width} | {features:,} | {own:.2f} | {dense} | {4 * features**2 / 1e6:,.0f} |", flush=True)


def probes() -> None:
    """Linear and sparse probes of two classes with all their baselines, 1000 draws each."""
    print("\n| images | D | linear, s | five sparse, s |\n|---|---|---|---|")
    for images, width in ((500, 576), (2000, 576), (2000, 4608)):
        rng = np.random.default_rng(0)
        labels, words = rng.choice(["a", "b"], images), rng.integers(0, 50, images)
        x = rng.normal(size=(images, width))
        x[:, 3] += labels == "a"
        task = ProbeTask(x, list(labels), words=list(words))
        taken = [seconds(lambda f=f, task=task: f(task)) for f in (linear_probe, sparse_probes)]
        print(f"| {images:,} | {width:,} | {taken[0]:.1f} | {taken[1]:.1f} |", flush=True)


if __name__ == "__main__":
    products()
    probes()
    print(f"\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")
