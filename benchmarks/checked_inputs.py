"""What it costs to look whether artefacts still hold what their manifests say: `python benchmarks/checked_inputs.py`.

Hashing, by one thread and by two, over files that are in memory; a look at 40 shards of 102 files (2000 samples of
gemma-3-4b-it, 34 layers) without and with what was remembered of them; and, of a workspace that is named, the same.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.artifacts import Artifact, ArtifactStore, sha256_file
from core.checked import CHECKED

SHARDS, FILES = 40, 102
ROUNDS = 5
_GB = 1e9


def seconds(what: Callable[[], object]) -> float:
    """Median wall seconds of a call."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def hash_speed(folder: Path) -> None:
    files = [folder / f"{number}.bin" for number in range(2)]
    for path in files:
        path.write_bytes(os.urandom(1 << 20) * 512)
    size = files[0].stat().st_size / _GB
    one = size / seconds(lambda: sha256_file(files[0]))

    def both() -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(sha256_file, files))

    two = 2 * size / seconds(both)
    print(f"sha256, GB/s: one thread {one:.2f}, two {two:.2f}; 100 GB: {100 / one:.0f} s and {100 / two:.0f} s")


def shards(root: Path) -> ArtifactStore:
    """Shards with as many files as the real ones, and next to nothing in them: a look at a known file reads nothing."""
    store = ArtifactStore(root)
    for number in range(SHARDS):
        artifact = Artifact("capture", f"{number:020d}")
        staged = store.staging(artifact)
        for file in range(FILES):
            (staged / f"layer_{file}.safetensors").write_bytes(b"x")
        store.publish(staged, artifact, {})
    return store


def look(name: str, store: ArtifactStore) -> None:
    artifacts = list(store)
    entries = [entry for artifact in artifacts for entry in store.manifest(artifact)["files"].values()]
    known = seconds(lambda: store.faulty(artifacts))

    def unknown() -> None:
        for artifact in artifacts:
            (store.path(artifact) / CHECKED).unlink(missing_ok=True)
        store.faulty(artifacts)

    size = sum(entry["size"] for entry in entries) / _GB
    print(
        f"{name}: {len(artifacts)} artefacts, {len(entries)} files, {size:.3f} GB: "
        f"known {known * 1e3:.0f} ms, nothing remembered {seconds(unknown) * 1e3:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hash_speed(Path(folder))
        look("shards", shards(Path(folder)))
    if arguments.workspace is not None:
        look(arguments.workspace.name, ArtifactStore(arguments.workspace / "artifacts"))


if __name__ == "__main__":
    main()
