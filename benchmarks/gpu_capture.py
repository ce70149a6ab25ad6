"""Capture with gemma-3-4b-it's shape and random weights, in two languages: a part of benchmarks/gpu.py.

Beside saeflow's capture stand its own passes of which nothing is kept (what the model alone costs), and one forward
pass per caption with `output_hidden_states`. Operations are counted by formula (benchmarks/extraction_counts.py); a
share is what of the machine's own bfloat16 product they reach.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from extraction_counts import Counts, gemma_config, save_processor
from extraction_job import CAPTIONER, IMAGE, write_texts
from extraction_peers import Job, Plain, passes, shard, without_logits
from gpu_machine import NO_TIME, Size, ceilings, default_device, peak_gib, reset_peak, settle

from core.activations.capture import capture_shard
from core.activations.requests import EncodedShard, encode_shard
from core.data.scenes import generate_scenes
from core.lm.loaded import LoadedModel, control_ids
from core.lm.loading import lay_patches_in_rows
from core.lm.shape import read_shape

Way = tuple[Callable[[int | None, Path], Any], int]
"""What captures the first samples (null: all) into a folder, and its operations for all."""
_ENOUGH_S = 10.0
"""Seconds after which a way is not timed again."""


def capture(size: Size, device: str, until: float) -> dict[str, Any]:
    """Every way over the same samples, alternated while there is time, and the medians."""
    limit = ceilings(device, size.probe)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        loaded = open_shape(folder / "model", size, device)
        job = _job(folder, loaded, size)
        encoded = encode_shard(loaded, shard(job))
        counts = Counts.of(loaded.model)
        ways: dict[str, Way] = {
            "saeflow": (lambda count, out: capture_shard(loaded, shard(job, count), out), _shared(encoded, counts)),
            "its passes, nothing kept": (
                lambda count, _out: passes(loaded, encoded.groups[:count], shard(job).config),
                _shared(encoded, counts),
            ),
            "one forward pass per caption": (
                without_logits(Plain(job, loaded.model, loaded.processor)),
                _alone(encoded, counts),
            ),
        }
        print(f"{size.samples} images, {2 * size.samples} captions, bfloat16 {limit.bfloat16 / 1e12:.2f} TFLOP/s\n")
        return {"samples": size.samples, "ways": _table(ways, size, limit.bfloat16, until)}


def open_shape(folder: Path, size: Size, device: str) -> LoadedModel:
    """The shape with random weights, made where it runs: no checkpoint is written or read."""
    from transformers import Gemma3ForConditionalGeneration

    processor = save_processor(folder, CAPTIONER, size.side)
    config = gemma_config(size.divisor, size.side, CAPTIONER)
    config.save_pretrained(folder)
    dtype = getattr(torch, size.dtype)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Gemma3ForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():  # it starts at zero, and would pass nothing of the image
        model.model.multi_modal_projector.mm_input_projection_weight.normal_(std=0.02)
    decoder = model.get_decoder()
    lay_patches_in_rows(model.base_model, read_shape(folder))
    return LoadedModel(
        folder=folder,
        model=model,
        tokenizer=processor.tokenizer,
        processor=processor,
        device=torch.device(device),
        dtype=dtype,
        shape=read_shape(folder),
        base=model.base_model,
        text_model=decoder,
        blocks=decoder.layers,
        final_norm=decoder.norm,
        unembedding=model.get_output_embeddings().weight.detach(),
        control_ids=control_ids(processor.tokenizer),
    )


def _job(folder: Path, loaded: LoadedModel, size: Size) -> Job:
    generate_scenes(folder, num_samples=size.samples, seed=11).write_parquet(folder / "samples.parquet")
    made: dict[str, Any] = {"model": str(folder / "model"), "instructions": IMAGE, "texts": []}
    (folder / "job.json").write_text(json.dumps(made), encoding="utf-8")
    write_texts(loaded, folder)
    return Job.read(folder, 1, str(loaded.device), size.dtype)


def _shared(encoded: EncodedShard, counts: Counts) -> int:
    """Operations where image and prompt go through once, and each caption continues them."""
    spans = [(group.shared, group.shared) for group in encoded.groups]
    for group in encoded.groups:
        spans += [(len(group.rest(sample)), len(sample.ids)) for sample in group.samples]
    return counts.text(spans) + len(encoded.groups) * counts.image()


def _alone(encoded: EncodedShard, counts: Counts) -> int:
    """Operations where every caption is a pass of its own."""
    samples = [sample for group in encoded.groups for sample in group.samples]
    return counts.text([(len(sample.ids),) * 2 for sample in samples]) + len(samples) * counts.image()


def _table(ways: dict[str, Way], size: Size, product: float, until: float) -> list[dict[str, Any]]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, float | None] = {}
    for work, _ in ways.values():  # not counted: it sizes the passes and warms up
        _timed(work, size.samples // 3)
    for _ in range(3):
        for name, (work, _) in ways.items():
            if not taken[name] or (time.perf_counter() < until and sum(taken[name]) < _ENOUGH_S):
                found, peaks[name] = _timed(work, None)
                taken[name].append(found)
    print("| way | samples/s | runs | s | TFLOP | of bfloat16 | peak GiB |\n|---|---|---|---|---|---|---|")
    return [_row(name, taken[name], ways[name][1], size.samples, product, peaks[name]) for name in ways]


def _timed(work: Callable[[int | None, Path], Any], count: int | None) -> tuple[float, float | None]:
    """Seconds in a fresh folder (to write over files of 2.5 GB takes a second), and the peak of memory."""
    device = default_device()
    reset_peak(device)
    with tempfile.TemporaryDirectory() as place:
        settle(device)
        began = time.perf_counter()
        work(count, Path(place))
        settle(device)
        return time.perf_counter() - began, peak_gib(device)


def _row(
    name: str, taken: list[float], operations: int, samples: int, product: float, peak: float | None
) -> dict[str, Any]:
    if not taken:
        print(f"| {name} | skipped: {NO_TIME} | | | | | |")
        return {"way": name, "skipped": NO_TIME}
    middle = statistics.median(taken)
    share = operations / middle / product
    memory = "–" if peak is None else f"{peak:.1f}"
    print(
        f"| {name} | {samples / middle:.2f} | {len(taken)} | {middle:.2f} "
        f"| {operations / 1e12:.2f} | {share:.0%} | {memory} |",
        flush=True,
    )
    return {
        "way": name,
        "seconds": taken,
        "samples_per_s": samples / middle,
        "operations": operations,
        "share_of_bfloat16": share,
        "peak_gib": peak,
    }
