"""Whether every way captured the same rows: a part of benchmarks/extraction.py."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from extraction_peers import Job, Plain, shard
from safetensors.torch import load_file
from torch import Tensor

from core.activations.passes import capture_batch
from core.activations.requests import encode_shard
from core.lm.loading import load_model

EXACT = 1e-4
# Two roundings to bfloat16 are at most 2⁻⁸ apart; a model that computes in bfloat16 depends on how it is batched.
WRITTEN = {"float32": 2**-7, "bfloat16": 0.1}


def compare(job: Job, outs: Mapping[str, Path], reference: Path) -> str:
    """How far the ways' rows are from one full forward per caption; the message of an assertion if too far."""
    state = worst_state(job)
    assert state < EXACT, f"saeflow's states are not those of a full forward: {state:.1e} apart in float32"
    apart = {name: worst_written(job, out, reference) for name, out in outs.items()}
    for name, worst in apart.items():
        assert worst < WRITTEN[job.dtype], f"{name} wrote other rows than a full forward per caption: {worst:.1e} apart"
    return (
        f"Rows agree with a full forward per caption: {state:.0e} in float32, {max(apart.values()):.0e} as written.\n"
    )


@torch.no_grad()
def worst_state(job: Job, count: int = 4) -> float:
    """Largest error of a row relative to its norm, in float32, over all layers of the first samples."""
    loaded, plain = load_model(job.model, "float32", job.device), Plain(replace(job, dtype="float32"))
    ours = capture_batch(loaded, encode_shard(loaded, shard(job, count)).groups, range(loaded.shape.num_layers))
    worst = 0.0
    for (number, index), own in ours.items():
        if index is not None:
            inputs = plain.encode([job.texts[2 * number + index]])
            theirs = plain.model(**inputs, output_hidden_states=True).hidden_states[1:]
            shared = ours.get((number, None), {layer: state[:0] for layer, state in own.items()})
            mine = [torch.cat([shared[layer], own[layer]]) for layer in own]
            # transformers gives the last layer's states behind the final norm.
            mine[-1] = loaded.final_norm(mine[-1])
            worst = max(worst, *(_apart(one, other[0]) for one, other in zip(mine, theirs, strict=True)))
    return worst


@torch.no_grad()
def rounding(job: Job, count: int = 8) -> str:
    """How far computing in bfloat16 is from float32, by row: median and 99th percentile at three layers."""
    exact, rounded = (load_model(job.model, dtype, job.device) for dtype in ("float32", "bfloat16"))
    layers = sorted({0, exact.shape.num_layers // 2, exact.shape.num_layers - 1})
    groups = encode_shard(exact, shard(job, count)).groups
    ours, theirs = (capture_batch(one, groups, layers) for one in (rounded, exact))
    told = []
    for layer in layers:
        apart = torch.cat([_each(ours[key][layer].float(), theirs[key][layer]) for key in theirs])
        levels = torch.quantile(apart, torch.tensor([0.5, 0.99]))
        told.append(f"layer {layer}: {levels[0]:.1%} and {levels[1]:.1%}")
    return f"- Computed in bfloat16, rows are off float32's by (median, 99th percentile): {'; '.join(told)}."


def worst_written(job: Job, ours: Path, reference: Path) -> float:
    """The same of files, without the last layer, where transformers' own are behind the norm."""
    worst = 0.0
    places = _places(job, ours) if (ours / "tokens.parquet").exists() else {}
    for layer in range(len(list(reference.iterdir())) - 1):
        theirs = torch.load(reference / f"layer_{layer}.pt").float()
        if not places:
            worst = max(worst, _apart(torch.load(ours / f"layer_{layer}.pt").float(), theirs))
        for file, rows in places.items():
            mine = load_file(ours / f"layer_{layer}.{file}.safetensors")["activation"].float()
            worst = max(worst, _apart(mine, theirs[rows]))
    return worst


def _places(job: Job, ours: Path) -> dict[str, Tensor]:
    """By file of saeflow's, where its rows stand among all tokens of all texts; shared ones in the first text's."""
    starts, start = {}, 0
    for text in job.texts:
        starts[tuple(text["of"])] = start
        start += text["tokens"]
    tokens = (
        pl.read_parquet(ours / "tokens.parquet").sort("group", "row").with_columns(pl.col("language").fill_null("en"))
    )
    return {
        str(file): torch.tensor(
            [starts[row[:2]] + row[2] for row in part.select("sample_id", "language", "position").rows()]
        )
        for (file,), part in tokens.partition_by("group", as_dict=True).items()
    }


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float(_each(ours, theirs).max())


def _each(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).norm(dim=-1) / theirs.norm(dim=-1)
