"""SAE training on a GPU, beside a plain torch step and sparsify's on the same batches: a part of benchmarks/gpu.py.

Operations of a step: the encoder's dense product, 2·B·D·F, and four gathers of 2·B·k·D. Bytes, in float32: the
encoder's activations written and read, and nine passes over each matrix (one read forward, the gradient written and
read, weights and both moments of Adam read and written). Steps follow each other unwaited for, as in a run. A share is
the part of the machine's own copy, or bfloat16 product, that a step reaches.
"""

import itertools
import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gpu_machine import NO_TIME, Ceilings, Size, ceilings, peak_gib, reset_peak, settle
from sae_libraries import LIBRARIES, Clock, Given
from torch import Tensor

WAYS = ("saeflow", "plain_torch", "sparsify")
LAYERS, EPOCHS = 34, 50


@dataclass(frozen=True)
class Cost:
    """What a step has to compute and move at the least."""

    operations: float
    bytes: float

    @classmethod
    def of(cls, size: Size, batch: int) -> "Cost":
        """By the formula at the head of this file."""
        matrix = size.d_model * size.d_model * size.expansion
        activations = batch * size.d_model * size.expansion
        gathers = 4 * 2 * batch * size.k * size.d_model
        return cls(2 * batch * matrix + gathers, 4 * (2 * matrix * 9 + 2 * activations + 2 * batch * size.d_model))


class Streamed(Clock):
    """Times steps that follow each other as they do in a run, none waited for, from the end of one to the next's."""

    def __init__(self, given: Given) -> None:
        super().__init__(given, alone=True)
        self._ends: list[torch.cuda.Event] = []

    def time(self, work: Callable[[], Any]) -> None:
        """Send a step."""
        work()
        self._ends.append(torch.cuda.Event(enable_timing=True))
        self._ends[-1].record()

    def finish(self) -> None:
        """Wait for all, and read their times."""
        torch.cuda.synchronize()
        self.steps += [one.elapsed_time(other) / 1e3 for one, other in itertools.pairwise(self._ends)]


def rows_of(size: Size, device: str) -> Tensor:
    """Rows [T, D] in bfloat16 that have something to find: sparse mixtures of planted directions, and noise."""
    generator = torch.Generator(device).manual_seed(0)
    features = size.d_model * size.expansion // 2
    atoms = torch.nn.functional.normalize(
        torch.randn(features, size.d_model, generator=generator, device=device), dim=1
    )
    made = []
    for start in range(0, size.rows, 8192):
        count = min(8192, size.rows - start)
        chosen = torch.randint(features, (count, size.k // 2), generator=generator, device=device)
        strength = 1 + torch.rand(count, size.k // 2, generator=generator, device=device)
        mixed = torch.nn.functional.embedding_bag(chosen, atoms, per_sample_weights=strength, mode="sum")
        noise = torch.randn(count, size.d_model, generator=generator, device=device) / size.d_model
        made.append((mixed + noise).bfloat16())
    return torch.cat(made)


def sae(size: Size, device: str, until: float) -> dict[str, Any]:
    """Every way at every batch size, then several layers at once."""
    limit = ceilings(device, size.probe)
    print(f"copy {limit.copy / 1e9:.0f} GB/s, bfloat16 {limit.bfloat16 / 1e12:.2f} TFLOP/s, ", end="")
    print(f"float32 {limit.float32 / 1e12:.2f} TFLOP/s\n")
    rows = rows_of(size, device)
    found: dict[str, Any] = {"ceilings": vars(limit), "steps": [], "at_once": []}
    print("| way | batch | ms per step | rows/s | of copy | of bf16 | peak GiB | s per layer | h for 34 layers |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for batch in size.batches:
        for way in WAYS:
            if time.perf_counter() > until:
                print(f"| {way} | {batch} | skipped: {NO_TIME} | | | | | | |")
                found["steps"].append({"way": way, "batch": batch, "skipped": NO_TIME})
                continue
            found["steps"].append(_measured(way, batch, size, rows, limit))
    _at_once(size, rows, until, found["at_once"])
    return found


def _measured(way: str, batch: int, size: Size, rows: Tensor, limit: Ceilings) -> dict[str, Any]:
    device = rows.device.type
    reset_peak(device)
    given = _given(size, batch, rows)
    clock = Streamed(given) if device == "cuda" else Clock(given, alone=True)
    try:
        LIBRARIES[way](given, clock)
        clock.finish()
    except (ImportError, torch.OutOfMemoryError) as error:
        print(f"| {way} | {batch} | not measured: {error} | | | | | | |")
        return {"way": way, "batch": batch, "failed": str(error)}
    taken = statistics.median(clock.steps[len(clock.steps) // 3 :])
    cost, epoch = Cost.of(size, batch), size.rows // batch
    figures = {
        "way": way,
        "batch": batch,
        "ms_per_step": taken * 1e3,
        "rows_per_s": batch / taken,
        "share_of_copy": cost.bytes / taken / limit.copy,
        "share_of_bfloat16": cost.operations / taken / limit.bfloat16,
        "peak_gib": peak_gib(device),
        "s_per_layer": taken * epoch * EPOCHS,
        "h_all_layers": taken * epoch * EPOCHS * LAYERS / 3600,
    }
    peak = "–" if figures["peak_gib"] is None else f"{figures['peak_gib']:.1f}"
    print(
        f"| {way} | {batch} | {figures['ms_per_step']:.2f} | {figures['rows_per_s']:,.0f} "
        f"| {figures['share_of_copy']:.0%} | {figures['share_of_bfloat16']:.0%} | {peak} "
        f"| {figures['s_per_layer']:.0f} | {figures['h_all_layers']:.2f} |",
        flush=True,
    )
    return figures


def _given(size: Size, batch: int, rows: Tensor) -> Given:
    features = size.d_model * size.expansion
    rate = 2e-4 / math.sqrt(features / 2**14)
    held_out = rows[: max(size.batches)]
    return Given("topk", features, size.k, batch, size.steps, rows.device.type, rows, held_out, rate)


def _at_once(size: Size, rows: Tensor, until: float, found: list[dict[str, Any]]) -> None:
    """Several layers in one process, a thread and a stream each: rows/s of all together."""
    print("\n| layers at once | batch | rows/s together | beside one |\n|---|---|---|---|", flush=True)
    for batch in size.batches:
        alone = 0.0
        for layers in size.layers_at_once:
            if time.perf_counter() > until:
                print(f"| {layers} | {batch} | skipped: {NO_TIME} | |")
                found.append({"layers": layers, "batch": batch, "skipped": NO_TIME})
                continue
            together = layers * size.steps * batch / _together(layers, _given(size, batch, rows))
            alone = alone or together
            found.append({"layers": layers, "batch": batch, "rows_per_s": together, "beside_one": together / alone})
            print(f"| {layers} | {batch} | {together:,.0f} | {together / alone:.2f} |", flush=True)


def _together(layers: int, given: Given) -> float:
    """Seconds for every layer's steps, started at one moment."""
    device = given.device
    works = [_steps(given) for _ in range(layers)]
    streams = [torch.cuda.Stream() if device == "cuda" else None for _ in works]

    def work(steps: Callable[[], None], stream: Any) -> None:
        if stream is None:
            steps()
        else:
            with torch.cuda.stream(stream):
                steps()

    settle(device)
    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=pair) for pair in zip(works, streams, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(device)
    return time.perf_counter() - began


def _steps(given: Given) -> Callable[[], None]:
    """The trainer's own steps of one layer, prepared and warmed up."""
    from core.sae.rows import Rows
    from core.sae.training import Run
    from core.study.sae import SAEConfig

    expansion = given.features // given.train.shape[1]
    config = SAEConfig(expansion=expansion, k=given.k, batch_size=given.batch)
    none = torch.empty(0, dtype=torch.int64, device=given.device)
    with torch.no_grad():
        run = Run.prepare(Rows(given.train, given.held_out, {}), config)
        state = run.start()
        order = given.batches()
        run.step(state, run.rows.pairs.take(order[0]), none)

    def steps() -> None:
        with torch.no_grad():  # a thread's own
            for chosen in order:
                run.step(state, run.rows.pairs.take(chosen), none)

    return steps
