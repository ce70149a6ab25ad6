"""One shard of images: one site of every layer, in every language, from one forward pass.

Memory: one shard's rows in bfloat16, rows · layers · D · 2 bytes (2.9 GB for 50 images of gemma-3-4b-it, all layers).
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import BFloat16
from safetensors.torch import save
from torch import Tensor

from core.activations.passes import plan_batches, run_batch
from core.activations.requests import CaptureJob, Drop, encode_shard
from core.activations.rows import Key, Layout, lay_out
from core.lm.loading import LoadedModel, load_model
from core.lm.prefix import CaptionGroup, States
from core.lm.prompts import spell
from core.progress import Progress, silent
from core.study.layers import resolve_layers
from core.study.model import CaptureConfig
from core.study.sites import Site

SUMMARY = "shard.json"
_FITTED: dict[torch.device, int] = {}
"""Tokens a pass that a GPU had the memory for, after one it had not: remembered for the shards that follow."""
Rows = dict[tuple[int, str], BFloat16[Tensor, "T D"]]


@dataclass(frozen=True)
class ShardSummary:
    """What a shard holds: rows by file, `d_model` numbers each, the samples left out, and layers with NaN or Inf
    (layer → rows).

    `recomputed` are the images that were captured again in float32 because of such rows.
    """

    images: int
    captions: int
    rows: dict[str, int]
    layers: tuple[int, ...]
    site: Site
    d_model: int
    compute_dtype: str
    drops: tuple[Drop, ...]
    cut: int
    nonfinite: dict[str, int]
    recomputed: tuple[str, ...]


def capture_shard(loaded: LoadedModel, job: CaptureJob, out: Path, progress: Progress = silent) -> ShardSummary:
    """Run the model over the job's captions and write their rows.

    The folder gets `tokens.parquet`, `layer_{ℓ}.{shared|en|ar}.safetensors` (`activation`, [T, D]
    bfloat16) and `shard.json`.

    Rows of every layer line up with the tokens of their group. Captions with NaN or Inf are captured again in float32
    where the study says `recompute`; otherwise they are counted, and left to `examine_layer`.

    Raises:
        BadInput: an image cannot be read, a layer is beyond the model, or images are given to a model of text.
        OSError: the disk is full.
    """
    layers = resolve_layers(job.config.layers, loaded.shape.num_layers, "capture.layers")
    shard = encode_shard(loaded, job)
    layout = lay_out(shard.groups, job.config.segments, lambda token: spell(loaded, token))
    rows = _reserve(layout, layers, loaded.width(job.config.site))
    target = Target(layout, rows, layers, job.config)
    _fill(loaded, shard.groups, target, progress)
    nonfinite = _nonfinite_rows(rows, layers)
    recomputed: tuple[str, ...] = ()
    if job.config.nonfinite == "recompute" and nonfinite and loaded.dtype != torch.float32:
        recomputed = _recompute(loaded, job, shard.groups, target)
    summary = ShardSummary(
        images=len(shard.groups),
        captions=sum(len(group.samples) for group in shard.groups),
        rows=layout.counts,
        layers=layers,
        site=job.config.site,
        d_model=loaded.width(job.config.site),
        compute_dtype=str(loaded.dtype).removeprefix("torch."),
        drops=shard.drops,
        cut=shard.cut,
        nonfinite=nonfinite,
        recomputed=recomputed,
    )
    _write(out, layout, rows, summary)
    return summary


@dataclass(frozen=True)
class Target:
    """Where states come from and go: the study's settings, the rows' layout, and a matrix a layer and file."""

    layout: Layout
    rows: Rows
    layers: tuple[int, ...]
    config: CaptureConfig

    def take(self, keys: Sequence[Key], groups: Sequence[CaptionGroup], states: States) -> None:
        """Copy the kept rows of one pass, rounded to bfloat16, to their places."""
        for file, (places, sequence, token) in _addresses(self.layout, keys, groups).items():
            for layer in self.layers:
                picked = states[layer][sequence.to(states[layer].device), token.to(states[layer].device)]
                self.rows[layer, file][places] = picked.to(torch.bfloat16).cpu()


def _addresses(
    layout: Layout, keys: Sequence[Key], groups: Sequence[CaptionGroup]
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """For each file: target rows, and the sequence and token of the pass that they come from."""
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for sequence, key in enumerate(keys):
        kept = layout.kept[key]
        before = 0 if key[1] is None else groups[key[0]].shared
        found[kept.file] += [
            (kept.start + offset, sequence, position - before) for offset, position in enumerate(kept.positions)
        ]
    addresses = {}
    for file, triples in found.items():
        if triples:
            places, sequences, tokens = torch.tensor(triples).unbind(1)
            addresses[file] = (places, sequences, tokens)
    return addresses


def _reserve(layout: Layout, layers: Sequence[int], d_model: int) -> Rows:
    return {
        (layer, file): torch.empty(count, d_model, dtype=torch.bfloat16)
        for layer in layers
        for file, count in layout.counts.items()
        if count
    }


def _fill(
    loaded: LoadedModel,
    groups: Sequence[CaptionGroup],
    target: Target,
    progress: Progress,
    numbers: Sequence[int] | None = None,
) -> None:
    """Run the groups (or those of `numbers`) batch by batch; what a GPU has no memory for is run again in halves."""
    config = target.config
    left = dict.fromkeys(range(len(groups)) if numbers is None else numbers)
    total = sum(len(groups[number].samples) for number in left)
    while left:
        budget = min(config.token_budget, _FITTED.get(loaded.device, config.token_budget))
        done = total - sum(len(groups[number].samples) for number in left)
        try:
            for batch in plan_batches(groups, budget, config.batch_size, list(left)):
                for keys, states in run_batch(loaded, groups, batch, target.layers, config.site):
                    target.take(keys, groups, states)
                    done += sum(index is not None for _, index in keys)
                    progress(done, total)
                for number in batch.groups:
                    del left[number]
        except torch.OutOfMemoryError:
            if budget <= max(len(sample.ids) for number in left for sample in groups[number].samples):
                raise  # one sequence alone does not fit
            _FITTED[loaded.device] = budget // 2
            torch.cuda.empty_cache()


def _nonfinite_rows(rows: Rows, layers: Sequence[int]) -> dict[str, int]:
    counts: dict[str, int] = {str(layer): 0 for layer in layers}
    for (layer, _), matrix in rows.items():
        counts[str(layer)] += int((~matrix.isfinite().all(dim=1)).sum())
    return {layer: count for layer, count in counts.items() if count}


def _recompute(loaded: LoadedModel, job: CaptureJob, groups: Sequence[CaptionGroup], target: Target) -> tuple[str, ...]:
    """Capture the images that have a NaN or Inf row in any layer again, in float32."""
    bad: set[str] = set()
    for file in target.layout.counts:
        tokens = target.layout.tokens.filter(group=file)
        for layer in target.layers:
            if (layer, file) in target.rows:
                wrong = ~target.rows[layer, file].isfinite().all(dim=1)
                bad |= set(tokens["image_id"].filter(wrong.numpy()))
    exact = load_model(loaded.folder, "float32", str(loaded.device))
    numbers = [number for number, group in enumerate(groups) if group.image_id in bad]
    _fill(exact, groups, target, silent, numbers)
    return tuple(groups[number].image_id for number in numbers)


def _write(out: Path, layout: Layout, rows: Rows, summary: ShardSummary) -> None:
    out.mkdir(parents=True, exist_ok=True)
    layout.tokens.write_parquet(out / "tokens.parquet")
    for (layer, file), matrix in rows.items():
        path = out / f"layer_{layer}.{file}.safetensors"
        # save_file would leave files that only their owner can read, in a workspace that a team shares.
        path.write_bytes(save({"activation": matrix}))
    text = json.dumps(asdict(summary), indent=1, sort_keys=True, ensure_ascii=False)
    (out / SUMMARY).write_text(text + "\n", encoding="utf-8")
