"""Capture every layer's stream in one way and print what it cost, as JSON: a part of benchmarks/extraction.py.

    python benchmarks/extraction_peers.py WAY JOB OUT [--batch 8] [--device cuda --dtype bfloat16]

WAY is saeflow, bare (saeflow's passes, of which nothing is kept), transformers, headless, nnsight or transformer_lens;
the last four run in the environment they are called with and need no saeflow there (torch, transformers, pillow, and
the library). JOB is a folder that benchmarks/extraction.py wrote. One sample runs first and is not counted. Reading
images, tokenising and writing are counted, opening the model is not. All ways but saeflow write one file per layer:
every token of every caption, in bfloat16.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

Texts = Sequence[Mapping[str, Any]]
Run = Callable[[int | None, Path], None]
"""Capture the first samples (null: all) into a folder."""
Forward = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]
"""Inputs as the processor makes them → the stream after each layer, [B, T, D]."""


@dataclass(frozen=True)
class Job:
    """What is captured: a checkpoint, two texts a sample with their image (or null), and how it is run."""

    folder: Path
    model: Path
    instructions: Mapping[str, str]
    texts: Texts
    batch: int
    device: str
    dtype: str

    @classmethod
    def read(cls, folder: Path, batch: int, device: str, dtype: str) -> "Job":
        """The job that benchmarks/extraction.py wrote."""
        made = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        return cls(folder, Path(made["model"]), made["instructions"], made["texts"], batch, device, dtype)

    @property
    def has_images(self) -> bool:
        """Whether the texts have images."""
        return self.texts[0]["image"] is not None


def shard(job: Job, count: int | None = None, layers: Any = "all") -> Any:
    """The first samples as saeflow's own job."""
    import polars as pl

    from core.activations.requests import CaptureJob
    from core.study.model import CaptureConfig

    samples = pl.read_parquet(job.folder / "samples.parquet")[:count]
    # SmolLM2 spells Arabic in bytes: captions are long there, and none is to be dropped.
    config = CaptureConfig(layers=layers, max_caption_tokens=512)
    images = None if samples["image"].is_null().all() else job.folder
    return CaptureJob(samples, images, config, job.instructions)


def saeflow(job: Job) -> Run:
    """The function that a study's capture calls."""
    from core.activations.capture import capture_shard
    from core.lm.loading import load_model

    loaded = load_model(job.model, job.dtype, job.device)
    return lambda count, out: capture_shard(loaded, shard(job, count), out)


def bare(job: Job) -> Run:
    """saeflow's passes over sequences laid out beforehand; the last block's hook ends a pass, its states are let go."""
    from core.activations.requests import encode_shard
    from core.lm.loading import load_model

    loaded = load_model(job.model, job.dtype, job.device)
    groups = encode_shard(loaded, shard(job)).groups
    return lambda count, _out: passes(loaded, groups[:count], shard(job).config)


def passes(loaded: Any, groups: Sequence[Any], config: Any) -> None:
    """Every pass that saeflow makes of the groups."""
    from core.activations.budget import budget_of
    from core.activations.passes import CaptionPasses, plan_batches

    whole = CaptionPasses(loaded, tuple(groups), (loaded.shape.num_layers - 1,), config.site)
    batches = plan_batches(groups, budget_of(loaded, config.token_budget).tokens, config.batch_size)
    for number, batch in enumerate(batches):
        whole.expect([] if loaded.device.type == "cpu" else batches[number : number + 2])
        for _ in whole.run(batch, lambda _keys: lambda _layer, states: states.new_empty(0)):
            pass


class Plain:
    """A model and its processor (its tokenizer, where it takes no images) as transformers opens them."""

    def __init__(self, job: Job, model: Any, processor: Any):
        self.job = job
        self.model = model
        self.processor = processor if job.has_images else None
        self.tokenizer = processor.tokenizer if job.has_images else processor
        self.tokenizer.padding_side = "right"

    @classmethod
    def open(cls, job: Job) -> "Plain":
        """The checkpoint that the job names."""
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

        kind = AutoModelForImageTextToText if job.has_images else AutoModelForCausalLM
        local = {"local_files_only": True}
        model = kind.from_pretrained(job.model, dtype=getattr(torch, job.dtype), attn_implementation="sdpa", **local)
        # The torchvision backend resizes slightly differently.
        read = (AutoProcessor, {"backend": "pil"}) if job.has_images else (AutoTokenizer, {})
        processor = read[0].from_pretrained(job.model, **read[1], **local)
        return cls(job, model.to(job.device).eval().requires_grad_(False), processor)

    def encode(self, texts: Texts) -> Mapping[str, Tensor]:
        """What transformers' own processor makes of the texts and their images."""
        more: dict[str, Any] = {"add_special_tokens": False, "padding": True, "return_tensors": "pt"}
        words = [text["text"] for text in texts]
        if self.processor is None:
            return self.tokenizer(words, **more).to(self.job.device)
        images = [[Image.open(self.job.folder / text["image"]).convert("RGB")] for text in texts]
        return self.processor(text=words, images=images, **more).to(self.job.device, dtype=self.model.dtype)

    def keep(self, forward: Forward) -> Run:
        """Run portions of the batch's size in order, and write the rows of each layer at the end."""

        @torch.no_grad()
        def run(count: int | None, out: Path) -> None:
            texts, rows = self.job.texts[: None if count is None else 2 * count], []
            for start in range(0, len(texts), self.job.batch):
                inputs = self.encode(texts[start : start + self.job.batch])
                own = inputs["attention_mask"].bool()
                rows.append([state[own].to(torch.bfloat16).cpu() for state in forward(inputs)])
            for layer, parts in enumerate(zip(*rows, strict=True)):
                torch.save(torch.cat(parts), out / f"layer_{layer}.pt")

        return run


def transformers(job: Job) -> Run:
    """The obvious way: the whole model with `output_hidden_states`, of which the last is behind the final norm."""
    plain = Plain.open(job)
    return plain.keep(lambda inputs: plain.model(**inputs, output_hidden_states=True).hidden_states[1:])


def headless(job: Job) -> Run:
    """The same without logits, as one would write who minds the cost."""
    return without_logits(Plain.open(job))


def without_logits(plain: Plain) -> Run:
    """The base model with `output_hidden_states`."""
    return plain.keep(lambda inputs: plain.model.base_model(**inputs, output_hidden_states=True).hidden_states[1:])


def nnsight(job: Job) -> Run:
    """A trace that saves every block's output, without the vocabulary head."""
    from nnsight import NNsight, save

    plain = Plain.open(job)
    traced = NNsight(plain.model.base_model)
    blocks = traced.language_model.layers if job.has_images else traced.layers

    def forward(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        with traced.trace(**inputs):
            states = save([])
            for block in blocks:
                states.append(block.output)
        return states

    return plain.keep(forward)


def transformer_lens(job: Job) -> Run:
    """`run_with_cache` on every `hook_resid_post` of the bridge, which always runs the vocabulary head."""
    from transformer_lens.model_bridge import TransformerBridge

    plain = Plain.open(job)
    opened = {"hf_model": plain.model, "tokenizer": plain.tokenizer, "dtype": plain.model.dtype}
    bridge = TransformerBridge.boot_transformers(str(job.model), **opened, device=job.device)
    names = [f"blocks.{layer}.hook_resid_post" for layer in range(bridge.cfg.n_layers)]

    def forward(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        rest = {name: value for name, value in inputs.items() if name != "input_ids"}
        _, cache = bridge.run_with_cache(inputs["input_ids"], names_filter=names, return_type=None, **rest)
        return [cache[name] for name in names]

    return plain.keep(forward)


WAYS = {way.__name__: way for way in (saeflow, bare, transformers, headless, nnsight, transformer_lens)}


def measure(run: Run, job: Job, out: Path) -> dict[str, float]:
    """Seconds of the clock and of the processor, peak memory above the opened model, and bytes written."""
    run(1, out)
    for path in out.iterdir():
        path.unlink()
    loaded = _reset_peak(job.device)
    clock, processor = time.perf_counter(), time.process_time()
    run(None, out)
    if job.device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds, cpu = time.perf_counter() - clock, time.process_time() - processor
    return {
        "seconds": seconds,
        "cpu": cpu,
        "peak_mb": _peak(job.device),
        "loaded_mb": loaded,
        "written": sum(path.stat().st_size for path in out.iterdir()),
    }


def _reset_peak(device: str) -> float:
    """Forget the peak so far (opening a model may need more than running it); what is held now, in MB."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Open, run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, default=1, help="captions a forward pass; saeflow batches by itself")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    job = Job.read(given.job, given.batch, given.device, given.dtype)
    given.out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(WAYS[given.way](job), job, given.out)))


if __name__ == "__main__":
    main()
