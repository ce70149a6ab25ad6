"""Whether a GPU computes what the CPU does, within bfloat16's rounding: a part of benchmarks/gpu.py.

The truth is float32 on the CPU. The allowance is what bfloat16 itself costs there: the same computation on the CPU in
bfloat16. An agreement is a relative difference of no more than three times that (or of 1e-3 in float32, in which a
GPU sums in another order). Whole runs of every architecture, whose weights drift apart, have to end at a held-out FVU
within 0.02 of the CPU's.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from extraction_job import CAPTIONER, IMAGE
from gpu_machine import NO_TIME, Size
from torch import Tensor

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob
from core.activations.table import LayerTable
from core.data.scenes import generate_scenes
from core.lm.loading import load_model
from core.sae.rows import Rows
from core.sae.training import Run, train
from core.study.model import CaptureConfig
from core.study.sae import Architecture, SAEConfig

ALLOWED = 3.0
FLOAT32 = 1e-3
STEPS = 8
ENDS_ALIKE = 0.02


def equality(_size: Size, device: str, until: float) -> dict[str, Any]:
    """A capture of the demo's captioner, layer by layer, some steps of training, and whole runs."""
    found: dict[str, Any] = {}
    for name, part in (("capture", _capture), ("training", _training), ("runs", _runs)):
        if found and time.perf_counter() > until:
            print(f"- {name}, skipped: {NO_TIME}")
            found[name] = {"skipped": NO_TIME}
        else:
            found[name] = part(device)
    wrong = [name for name, part in found.items() if not part.get("agrees", True)]
    if wrong:
        raise AssertionError(f"{', '.join(wrong)}: the GPU does not agree with the CPU: {found}")
    return found


def difference(a: Tensor, b: Tensor) -> float:
    """‖a − b‖ / ‖b‖."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def _capture(device: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        samples = generate_scenes(folder, num_samples=8, seed=3)
        job = CaptureJob(samples, folder, CaptureConfig(), IMAGE)
        truth, rounded, ours = (
            _layers(job, folder / name, where, dtype)
            for name, where, dtype in [
                ("truth", "cpu", "float32"),
                ("rounded", "cpu", "bfloat16"),
                ("ours", device, "bfloat16"),
            ]
        )
    layers = [
        {"layer": layer, "gpu": difference(one, true), "cpu_bfloat16": difference(other, true)}
        for layer, (true, other, one) in enumerate(zip(truth, rounded, ours, strict=True))
    ]
    worst = max(layers, key=lambda row: row["gpu"] / max(row["cpu_bfloat16"], 1e-12))
    agrees = worst["gpu"] <= ALLOWED * worst["cpu_bfloat16"]
    print(f"- capture, {len(layers)} layers, the worst: {worst} → {_verdict(agrees)}")
    return {"layers": layers, "agrees": agrees}


def _layers(job: CaptureJob, out: Path, device: str, dtype: str) -> list[Tensor]:
    out.mkdir()
    loaded = load_model(CAPTIONER, dtype, device)
    summary = capture_shard(loaded, job, out)
    tables = (LayerTable.open([out], layer) for layer in summary.layers)
    return [table.read(np.arange(len(table))) for table in tables]


def _training(device: str) -> dict[str, Any]:
    """Weights after some steps, the encoder's product in float32, and in bfloat16 as a GPU has it by default."""
    x = torch.randn(2048, 256, generator=torch.Generator().manual_seed(0))
    truth = _trained(x, rounds=False)
    rounding = _differences(_trained(x, rounds=True), truth)
    exact, ours = (_differences(_trained(x.to(device), rounds), truth) for rounds in (False, True))
    agrees = {
        "float32": max(exact.values()) <= FLOAT32,
        "bfloat16": all(ours[name] <= ALLOWED * rounding[name] for name in ours),
    }
    print(f"- training, {STEPS} steps, float32: {_words(exact)} → {_verdict(agrees['float32'])}")
    print(f"- training, {STEPS} steps, product in bfloat16: {_words(ours)}", end="")
    print(f" (on the CPU {_words(rounding)}) → {_verdict(agrees['bfloat16'])}")
    return {"float32": exact, "bfloat16": ours, "cpu_bfloat16": rounding, "agrees": all(agrees.values())}


def _differences(weights: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    return {name: difference(weights[name].cpu(), truth[name]) for name in truth}


def _words(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in found.items())


def _verdict(agrees: bool) -> str:
    return "agrees" if agrees else "DISAGREES"


def _trained(x: Tensor, rounds: bool) -> dict[str, Tensor]:
    with torch.no_grad():
        run = Run.prepare(Rows(x, x[:256], {}), SAEConfig(expansion=8, k=16, batch_size=256, epochs=1))
        run = replace(run, objective=replace(run.objective, rounds=rounds))
        state = run.start()
        none = torch.empty(0, dtype=torch.int64, device=x.device)
        for rows in torch.split(torch.arange(len(x), device=x.device), 256)[:STEPS]:
            run.step(state, run.rows.pairs.take(rows), none)
        return {name: state.weights[name] for name in ("encoder", "decoder", "b_enc", "b_dec")}


def _runs(device: str) -> dict[str, Any]:
    """Held-out FVU at the end of a run of every architecture, features dying on the way."""
    x = planted(4608)
    found = {}
    for architecture in get_args(Architecture):
        fvu = {name: _ending(architecture, x.to(name)) for name in dict.fromkeys(("cpu", device))}
        found[architecture] = {"cpu": fvu["cpu"], "gpu": fvu[device]}
    agrees = all(abs(one["cpu"] - one["gpu"]) <= ENDS_ALIKE for one in found.values())
    words = ", ".join(f"{name} {one['gpu']:.3f} ({one['cpu']:.3f})" for name, one in found.items())
    print(f"- whole runs, held-out FVU (the CPU's): {words} → {_verdict(agrees)}")
    return {"held_out_fvu": found, "agrees": agrees}


def _ending(architecture: Architecture, x: Tensor) -> float:
    config = SAEConfig(architecture=architecture, expansion=8, k=8, batch_size=256, epochs=10, learning_rate=3e-3)
    with tempfile.TemporaryDirectory() as place:
        return train(Rows(x[512:], x[:512], {}), config, Path(place)).quality.metrics["held_out_fvu"]


def planted(count: int) -> Tensor:
    """Rows [T, 64] in bfloat16: a few of 256 directions each, and noise."""
    generator = torch.Generator().manual_seed(1)
    atoms = torch.nn.functional.normalize(torch.randn(256, 64, generator=generator), dim=1)
    code = torch.rand(count, 256, generator=generator) * (torch.rand(count, 256, generator=generator) < 8 / 256)
    return (code @ atoms + 0.01 * torch.randn(count, 64, generator=generator)).bfloat16()
