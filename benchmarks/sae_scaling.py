"""How an SAE's training step grows: with features, with k, with rows that stay on disk, with layers side by side.

    python benchmarks/sae_scaling.py [--width 576] [--steps 20] [--folder DIR]

Planted rows (benchmarks/sae_rows.py), batch 4096, TopK. A step is told in dense encoder products of the same shape,
timed beside it; the last table says where one goes. `--folder` is where rows on disk are written (6 bytes a number).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sae_libraries import Clock, Given, saeflow
from sae_rows import planted
from safetensors.torch import save_file
from torch.profiler import ProfilerActivity, profile

from core.activations.table import LayerTable
from core.sae.reading import Pairs, StoredRows, batches
from core.sae.rows import Rows
from core.sae.training import Run
from core.study.sae import SAEConfig

BATCH = 4096
NAMES = {
    "aten::addmm": "encoder's dense product",
    "aten::mm": "encoder's dense product",
    **dict.fromkeys(["aten::topk", "aten::amax", "aten::lt", "aten::logical_not_"], "top-k, torch's part"),
    "aten::_embedding_bag_forward_only": "decoding, weight gradients (embedding_bag)",
    "aten::_embedding_bag_per_sample_weights_backward": "the code's gradient (embedding_bag)",
    "aten::_fused_adam_": "Adam",
    "aten::sort": "sorting the active entries",
    "aten::bmm": "the gradient along the decoder",
    "aten::linalg_vector_norm": "unit norm",
}


def step(x: torch.Tensor, features: int, k: int, steps: int) -> tuple[float, float]:
    """Seconds a step, and dense products."""
    given = Given("topk", features, k, BATCH, steps, "cpu", x[2 * BATCH :], x[:BATCH], 3e-4)
    clock = Clock(given)
    saeflow(given, clock)
    taken, product = (statistics.median(times[3:]) for times in (clock.steps, clock.products))
    return taken, taken / product


def shapes(x: torch.Tensor, steps: int) -> None:
    """Over features and over k."""
    width = x.shape[1]
    print("| D | F | k | ms per step | rows/s | dense products per step |\n|---|---|---|---|---|---|")
    for expansion, k in [(2, 32), (4, 32), (8, 32), (16, 32), (8, 8), (8, 16), (8, 64), (8, 128)]:
        taken, products = step(x, expansion * width, k, steps)
        print(f"| {width} | {expansion * width} | {k} | {taken * 1e3:.0f} | {BATCH / taken:,.0f} | {products:.2f} |")


def store(x: torch.Tensor, folder: Path) -> LayerTable:
    """The rows as one shard of a captured layer."""
    tokens = pl.DataFrame({"group": ["en"] * len(x)})
    tokens.write_parquet(folder / "tokens.parquet")
    (folder / "shard.json").write_text(json.dumps({"site": "resid_post", "d_model": x.shape[1]}), encoding="utf-8")
    save_file({"activation": x.bfloat16()}, folder / "layer_0.en.safetensors")
    return LayerTable.open([folder], 0)


def reading(x: torch.Tensor, folder: Path) -> None:
    """Drawing an epoch's batches from memory and from files, and how much of the latter a step of 0.1 s would hide."""
    table = store(x, folder)
    stored = StoredRows(table, np.arange(len(x)))
    print("\n| rows from | µs per row | of a step that computes for 0.1 s per batch |\n|---|---|---|")
    for name, pairs in (("memory", Pairs(stored[:], None)), ("files", Pairs(stored, None))):
        alone = _epoch(pairs, 0.0)
        waited = _epoch(pairs, 0.1) - 0.1 * (len(x) // BATCH)
        share = waited / (0.1 * (len(x) // BATCH))
        print(f"| {name} | {alone / len(x) * 1e6:.2f} | {share:.1%} |")


def _epoch(pairs: Pairs, compute_s: float) -> float:
    began = time.perf_counter()
    for drawn in batches(pairs, BATCH, seed=0, epoch=0):
        drawn.x.float()
        time.sleep(compute_s)  # what a GPU's step is to this process
    return time.perf_counter() - began


def layers(rows: Path, features: int, steps: int) -> None:
    """Layers one after the other on all threads, and side by side on one thread each."""
    cores = os.cpu_count() or 1
    peers = Path(__file__).with_name("sae_peers.py")
    command = [sys.executable, str(peers), "saeflow", str(rows), "--features", str(features), "--k", "32"]
    command += ["--steps", str(steps), "--alone"]
    print("\n| layers at once | threads each | rows/s, all layers |\n|---|---|---|")
    for at_once in sorted({1, cores}):
        environment = {**os.environ, "OMP_NUM_THREADS": str(cores // at_once)}
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(at_once)]
        rates = [json.loads(one.communicate()[0].splitlines()[-1])["rows_s"] for one in started]
        print(f"| {at_once} | {cores // at_once} | {sum(rates):,.0f} |")


def where(x: torch.Tensor, features: int, steps: int) -> None:
    """Shares of a step by kernel."""
    config = SAEConfig(expansion=features // x.shape[1], k=32, batch_size=BATCH)
    none_dead = torch.empty(0, dtype=torch.int64)
    with torch.no_grad():
        run = Run.prepare(Rows(x, x[:0], {}), config)
        state = run.start()
        drawn = list(islice(batches(run.rows.pairs, BATCH, 0, 0), 6))
        run.step(state, drawn[0], none_dead)  # the first one makes the buffers
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            began = time.perf_counter()
            for one in drawn * (steps // 6):
                run.step(state, one, none_dead)
            taken_us = (time.perf_counter() - began) * 1e6
    times: dict[str, float] = {}
    for event in seen.key_averages():
        name = NAMES.get(event.key, "the rest of torch")
        times[name] = times.get(name, 0.0) + event.self_cpu_time_total
    times["beside torch: top-k's NumPy, Python"] = taken_us - sum(times.values())
    total = sum(times.values())
    print("\n| of a step | share |\n|---|---|")
    for name, taken in sorted(times.items(), key=lambda item: -item[1]):
        print(f"| {name} | {taken / total:.0%} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args(arguments)
    x = planted(given.rows, given.width)["train"]
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        shapes(x, given.steps)
        reading(x, folder)
        save_file({"train": x[BATCH:].contiguous(), "held_out": x[:BATCH].contiguous()}, folder / "rows.safetensors")
        layers(folder / "rows.safetensors", 8 * given.width, given.steps)
        where(x, 8 * given.width, given.steps)


if __name__ == "__main__":
    main()
