"""One shard of images: one site of every layer, in every language, from one forward pass.

Memory beside the model: the kept rows of two passes in bfloat16, one going to disk meanwhile (tokens · layers · D · 2
bytes each: 0.7 GB for 4096 tokens of gemma-3-4b-it, all layers); on a GPU those of two batches, and in the host's
memory the images of two. A layer's states are let go when its rows are taken.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from core.activations.budget import TokenBudget, budget_of
from core.activations.images import image_shard
from core.activations.passes import Batch, CaptionPasses, Passes, Shard
from core.activations.picking import PassRows
from core.activations.requests import CaptureJob, Drop, encode_shard
from core.activations.rows import Key, Layout, lay_out
from core.activations.tokens import FILE, SUMMARY
from core.activations.writing import ShardWriter
from core.lm.agreement import check_added, check_site
from core.lm.loaded import LoadedModel
from core.lm.prompts import spell
from core.progress import Progress, silent
from core.study.layers import resolve_layers
from core.study.model import CaptureConfig
from core.study.sites import ADDED, STREAM, VISION, Site, extent


@dataclass(frozen=True)
class ShardSummary:
    """What a shard holds: rows by file, `d_model` numbers each, the samples left out, and layers with NaN or Inf
    (layer → rows).

    `attention` is the kernel that transformers chose. `recomputed` are the images that were captured again in float32
    because of such rows.
    """

    images: int
    captions: int
    rows: dict[str, int]
    layers: tuple[int, ...]
    site: Site
    d_model: int
    compute_dtype: str
    attention: str
    drops: tuple[Drop, ...]
    cut: int
    nonfinite: dict[str, int]
    recomputed: tuple[str, ...]


def capture_shard(loaded: LoadedModel, job: CaptureJob, out: Path, progress: Progress = silent) -> ShardSummary:
    """Run the model over the job's captions, or of a vision site over its images alone, and write their rows.

    The folder gets `tokens.parquet`, `layer_{ℓ}.{shared|en|ar}.safetensors` (`activation`, [T, D]
    bfloat16) and `shard.json`.

    Rows of every layer line up with the tokens of their group. Captions with NaN or Inf are captured again in float32
    where the study says `recompute`; otherwise they are counted, and left to `examine_layer`.

    Raises:
        BadInput: an image cannot be read, a layer is beyond the model, images are given to a model of text, or the
            site is not what its name says in this model.
        OSError: the disk is full.
    """
    site = job.config.site
    part = extent(loaded.shape, site)
    loaded.points(site)  # a part that the model lacks is told before any caption is laid out
    if site not in (STREAM, *VISION):
        check_site(loaded, site)
    if site in ADDED:
        check_added(loaded)
    layers = resolve_layers(job.config.layers, part.layers, "capture.layers", part.name)
    shard = (image_shard if site in VISION else caption_shard)(loaded, job, layers)
    budget = budget_of(loaded, job.config.token_budget, site)
    return write_shard(shard, out, budget, progress)


def caption_shard(loaded: LoadedModel, job: CaptureJob, layers: tuple[int, ...]) -> Shard:
    """Lay the captions of the job out, each behind its image and prompt.

    Raises:
        BadInput: images are given to a model that takes none.
    """
    encoded = encode_shard(loaded, job)
    return Shard(
        layout=lay_out(encoded.groups, job.config, cache(lambda token: spell(loaded, token))),
        passes=CaptionPasses(loaded, encoded.groups, layers, job.config.site),
        layers=layers,
        config=job.config,
        width=loaded.width(job.config.site),
        compute_dtype=str(loaded.dtype).removeprefix("torch."),
        attention=str(loaded.text_config._attn_implementation),
        images=tuple(group.image_id for group in encoded.groups),
        captions=sum(len(group.samples) for group in encoded.groups),
        drops=encoded.drops,
        cut=encoded.cut,
    )


def write_shard(shard: Shard, out: Path, budget: TokenBudget, progress: Progress = silent) -> ShardSummary:
    """Run a shard's passes and write what they give, as `capture_shard` says."""
    recomputed: tuple[str, ...] = ()
    with ShardWriter(out, shard.layout.counts, shard.layers, shard.width) as writer, ExitStack() as stack:
        stack.callback(shard.passes.expect, [])
        target = Target(shard.layout, writer, shard.layers, shard.config)
        _fill(shard.passes, target, budget, progress, range(len(shard.images)))
        nonfinite = _nonfinite_rows(target)
        exact = shard.passes.exact() if nonfinite and shard.config.nonfinite == "recompute" else None
        if exact is not None:
            recomputed = _recompute(shard, exact, target, budget)
    summary = ShardSummary(
        images=len(set(shard.images)),
        captions=shard.captions,
        rows=shard.layout.counts,
        layers=shard.layers,
        site=shard.config.site,
        d_model=shard.width,
        compute_dtype=shard.compute_dtype,
        attention=shard.attention,
        drops=shard.drops,
        cut=shard.cut,
        nonfinite=nonfinite,
        recomputed=recomputed,
    )
    _finish(out, shard.layout, summary)
    return summary


@dataclass(frozen=True)
class Target:
    """Where states come from and go: the study's settings, the rows' layout, and what writes them."""

    layout: Layout
    writer: ShardWriter
    layers: tuple[int, ...]
    config: CaptureConfig

    def run(self, passes: Passes, batch: Batch) -> int:
        """Run a batch and send the kept rows of each pass to their places; tokens of its largest pass."""
        under_way: dict[tuple[Key, ...], PassRows] = {}

        def keep_of(keys: tuple[Key, ...]) -> PassRows:
            under_way[keys] = PassRows(self.layout, keys, self.config.pool)
            return under_way[keys]

        largest = 1
        for keys, layers in passes.run(batch, keep_of):
            rows = under_way.pop(keys)
            largest = max(largest, rows.tokens)
            for picked in rows.by_file(layers):
                self.writer.put(picked)
        return largest


def _fill(passes: Passes, target: Target, budget: TokenBudget, progress: Progress, numbers: Sequence[int]) -> None:
    """Run the groups of these numbers batch by batch; what a GPU has no memory for is run again in halves."""
    left = dict.fromkeys(numbers)
    total = sum(map(passes.sequences, left))

    def run(batch: Batch) -> None:
        before = budget.watch(passes.device)
        largest = target.run(passes, batch)
        for number in batch.groups:
            del left[number]
        progress(total - sum(map(passes.sequences, left)), total)
        if budget.probing:
            budget.learn(passes.device, largest, before)

    progress(0, total)
    ahead = 0 if passes.device.type == "cpu" else 2  # a CPU has no time to spare while the model runs
    while left:
        tokens = budget.tokens
        try:
            batches = passes.plan(tokens, target.config.batch_size, list(left))
            for number, batch in enumerate(batches):
                passes.expect(batches[number : number + ahead])
                run(batch)
                if budget.tokens != tokens:  # plan anew with what was learnt
                    break
        except torch.OutOfMemoryError:
            if tokens <= max(map(passes.longest, left)):
                raise  # one sequence alone does not fit
            budget.halve()
            torch.cuda.empty_cache()


def _nonfinite_rows(target: Target) -> dict[str, int]:
    target.writer.settle()
    counts = dict.fromkeys(target.layers, 0)
    for (layer, _), wrong in target.writer.nonfinite.items():
        counts[layer] += int(wrong.sum())
    return {str(layer): count for layer, count in counts.items() if count}


def _recompute(shard: Shard, exact: Passes, target: Target, budget: TokenBudget) -> tuple[str, ...]:
    """Capture the images that have a NaN or Inf row in any layer again, in float32."""
    bad: set[str] = set()
    for (_, file), wrong in target.writer.nonfinite.items():
        bad |= set(shard.layout.tokens.filter(group=file)["image_id"].filter(wrong))
    numbers = [number for number, image in enumerate(shard.images) if image in bad]
    _fill(exact, target, budget, silent, numbers)
    return tuple(shard.images[number] for number in numbers)


def _finish(out: Path, layout: Layout, summary: ShardSummary) -> None:
    """What makes the folder a shard comes last."""
    layout.tokens.write_parquet(out / FILE)
    text = json.dumps(asdict(summary), indent=1, sort_keys=True, ensure_ascii=False)
    (out / SUMMARY).write_text(text + "\n", encoding="utf-8")
