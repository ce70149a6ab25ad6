"""What it costs to look whether artefacts still hold what their manifests say: `python benchmarks/checked_inputs.py`.

Hashing, by one thread and by two, over files that are in memory; a look at 40 shards of 102 files (2000 samples of
gemma-3-4b-it, 34 layers) without and with what was remembered of them; and, of a workspace that is named, the same.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.store.artifacts import Artifact, ArtifactStore, sha256_file
from core.store.checked import CHECKED

SHARDS, FILES = 40, 102
ROUNDS = 5


def seconds(what: Callable[[], object]) -> tuple[float, float]:
    """Least wall seconds and least processor seconds of a call: other work on the machine only adds to them."""
    wall, processor = [], []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        what()
        wall.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return min(wall), min(processor)


def hash_speed(folder: Path) -> None:
    files = [folder / f"{number}.bin" for number in range(2)]
    for path in files:
        path.write_bytes(os.urandom(1 << 20) * 512)
    gigabytes = files[0].stat().st_size / 1e9
    one, processor = (gigabytes / taken for taken in seconds(lambda: sha256_file(files[0])))

    def both() -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(sha256_file, files))

    two = 2 * gigabytes / seconds(both)[0]
    print(f"sha256: {processor:.2f} GB per processor second; one thread {one:.2f} GB/s, two {two:.2f} GB/s")


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

    def forget() -> None:
        for artifact in artifacts:
            (store.path(artifact) / CHECKED).unlink(missing_ok=True)
        store.faulty(artifacts)

    print(f"{name}: {len(artifacts)} artefacts, {len(entries)} files, {sum(e['size'] for e in entries) / 1e6:.1f} MB")
    for words, what in (("nothing remembered", forget), ("remembered", lambda: store.faulty(artifacts))):
        wall, processor = seconds(what)
        print(f"  {words}: {wall * 1e3:.0f} ms, {processor * 1e3:.0f} ms of processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hash_speed(Path(folder))
        look("shards", shards(Path(folder) / "store"))
    if arguments.workspace is not None:
        look(arguments.workspace.name, ArtifactStore(arguments.workspace / "artifacts"))


if __name__ == "__main__":
    main()
