"""Where the time of a capture goes, by the functions that it is spent in.

    python benchmarks/extraction_profile.py [captioner | shape | FOLDER] [--samples 50]

One capture warms up, one is profiled, on the thread that runs the model; the writer's thread shows as waiting for it.
With another checkout first on PYTHONPATH this measures that one's core: `capture_shard` is all it calls.
"""

import argparse
import cProfile
import pstats
import tempfile
from collections import Counter
from pathlib import Path

from extraction_job import write_job
from extraction_peers import Job, shard

from core.activations.capture import capture_shard
from core.lm.loading import load_model

# The first that a function's file or name contains.
PARTS = {
    "linear": "dense products",
    "scaled_dot_product": "attention",
    "conv2d": "patches of images",
    "acquire": "waiting for the writer",
    "posix.pwrite": "writing",
    "io.": "writing",
    "PIL": "images, tokens",
    "Image": "images, tokens",
    "image_process": "images, tokens",
    "okeniz": "images, tokens",
    "prompts.py": "images, tokens",
    "activations.py": "activation functions",
    "activations/": "rows: picking, rounding, writing",
    "index_select": "rows: picking, rounding, writing",
    "isfinite": "rows: picking, rounding, writing",
    "cat'": "keys and values put together",
    "cache_utils": "keys and values put together",
    "masking_utils": "masks",
}


def shares(profile: cProfile.Profile) -> Counter[str]:
    """Seconds by part."""
    found: Counter[str] = Counter()
    for (file, _, name), (_, _, own, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        where = f"{file} {name}"
        found[next((part for key, part in PARTS.items() if key in where), "norms and everything else")] += own
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="captioner")
    parser.add_argument("--samples", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_job(given.model, given.samples, place)
        job = Job.read(place, 1, "cpu", "float32")
        loaded, profile = load_model(job.model, job.dtype, job.device), cProfile.Profile()
        capture_shard(loaded, shard(job), place / "warm")
        profile.runcall(capture_shard, loaded, shard(job), place / "profiled")
    found = shares(profile)
    print(f"| {given.model}, {given.samples} samples | {found.total():.2f} s |\n|---|---|")
    for part, taken in found.most_common():
        print(f"| {part} | {taken / found.total():.0%} |")


if __name__ == "__main__":
    main()
