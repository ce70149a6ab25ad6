"""Activations on disk: a shard of full size written, read and verified, and rows read beside npy and zarr.

    python benchmarks/activation_store.py [--folder DIR] [--rows 60000] [--images 50]

The shard has gemma-3-4b-it's shape: 34 layers of 2560 numbers, 256 image rows per image, 30 rows per caption in each of
two languages, random numbers, put to the writer 4096 tokens at a time. Reading is of one layer in batches of 4096 rows,
as float32, the median of three rounds: in order, blocks of 256 neighbours drawn at random, and single rows at random;
`cold` after the kernel has been asked to forget the file. zarr is measured where it is installed. The floor is torch's
own conversion of the rows from memory. The last table is what compressing would save, and cost.
"""

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from core.activations.table import LayerTable
from core.activations.writing import Picked, ShardWriter

LAYERS, D_MODEL, IMAGE, CAPTION, PASS, BATCH, BLOCK = 34, 2560, 256, 30, 4096, 4096, 256
SAMPLES = 2000  # of the study
Reader = Callable[[np.ndarray], torch.Tensor]


def rows(layer: int, start: int, count: int) -> torch.Tensor:
    """Random rows that can be made again, with a residual stream's spread of widths: a factor a dimension."""
    generator = torch.Generator().manual_seed(layer * 1_000_003 + start)
    spread = torch.linspace(-1, 3, D_MODEL).exp()
    return (torch.randn(count, D_MODEL, generator=generator) * spread).bfloat16()


def shard(images: int, folder: Path) -> None:
    """Write, read and verify one shard."""
    counts = {"shared": images * IMAGE, "en": images * CAPTION, "ar": images * CAPTION}
    made, writing = 0.0, time.perf_counter()
    with ShardWriter(folder, counts, range(LAYERS), D_MODEL) as writer:
        for file, count in counts.items():
            for start in range(0, count, PASS):
                began = time.perf_counter()
                size = min(PASS, count - start)
                picked = {layer: rows(layer, start, size) for layer in range(LAYERS)}
                made += time.perf_counter() - began
                writer.put(Picked(file, np.arange(start, start + size), picked))
    waited = time.perf_counter() - writing - made
    files = sorted(folder.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in files)
    began = time.perf_counter()
    for path in files:
        with path.open("rb") as handle:
            hashlib.file_digest(handle, "sha256")
    hashed = time.perf_counter() - began
    for layer in range(LAYERS):
        for file, count in counts.items():
            matrix = load_file(folder / f"layer_{layer}.{file}.safetensors")["activation"]
            truth = torch.cat([rows(layer, start, min(PASS, count - start)) for start in range(0, count, PASS)])
            assert torch.equal(matrix, truth), f"layer {layer}, {file}: another matrix came back"
    a_sample = size / images
    print(f"| {images} images, {LAYERS} layers, 2 languages | |\n|---|---|")
    print(f"| rows per layer | {sum(counts.values()):,} |\n| bytes | {size / 1e9:.2f} GB in {len(files)} files |")
    print(f"| a sample | {a_sample / 1e6:.1f} MB |\n| {SAMPLES} samples | {a_sample * SAMPLES / 1e9:.0f} GB |")
    print(f"| making the numbers | {made:.1f} s |\n| waiting for the writer | {waited:.1f} s |")
    print(f"| sha256 of every file | {hashed:.1f} s |\n| every row read back | equal |")


def store(x: torch.Tensor, folder: Path) -> dict[str, tuple[Path, Callable[[], Reader]]]:
    """The same rows in every format, each with what opens it."""
    (folder / "shard").mkdir()
    pl.DataFrame({"group": ["en"] * len(x)}).write_parquet(folder / "shard" / "tokens.parquet")
    (folder / "shard" / "shard.json").write_text(json.dumps({"site": "resid_post", "d_model": D_MODEL}))
    matrix = folder / "shard" / "layer_0.en.safetensors"
    save_file({"activation": x}, matrix)
    np.save(folder / "rows.npy", x.float().numpy())
    stores: dict[str, tuple[Path, Callable[[], Reader]]] = {
        "LayerTable, bfloat16": (matrix, lambda: LayerTable.open([folder / "shard"], 0).read),
        "npy memmap, float32": (folder / "rows.npy", lambda: partial(_of_array, np.load(folder / "rows.npy", "r"))),
    }
    try:
        import zarr
    except ImportError:
        return stores
    path = folder / "rows.zarr"
    chunked = zarr.create_array(path, shape=x.shape, chunks=(1024, D_MODEL), dtype="float32")
    chunked[:] = x.float().numpy()
    stores["zarr, float32, 1024 rows a chunk"] = (
        path,
        lambda: partial(_of_array, zarr.open_array(path, mode="r").oindex),
    )
    return stores


def _of_array(array: Any, chosen: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array[chosen]))


def orders(count: int) -> dict[str, np.ndarray]:
    """The rows in order, by shuffled blocks, and at random."""
    random = np.random.default_rng(0)
    blocks = random.permutation(count // BLOCK)[:, None] * BLOCK + np.arange(BLOCK)
    return {"in order": np.arange(count), "blocks": blocks.reshape(-1), "at random": random.permutation(count)}


def batches(order: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Up to `most` batches."""
    for start in range(0, min(len(order), most * BATCH), BATCH):
        yield np.sort(order[start : start + BATCH])


def reading(count: int, folder: Path) -> None:
    """Rows a second by format and order."""
    x = torch.cat([rows(0, start, min(PASS, count - start)) for start in range(0, count, PASS)])
    stores = store(x, folder)
    whole = np.arange(0, count - BATCH + 1, BATCH)
    floor = statistics.median(_seconds(lambda: [x[at : at + BATCH].float() for at in whole]) for _ in range(3))
    print(f"\nfloat32 from rows in memory: {len(whole) * BATCH / floor:,.0f} rows/s\n")
    print("| rows/s | MB on disk | in order | blocks | at random | in order, cold |\n|---|---|---|---|---|---|")
    for name, (path, opened) in stores.items():
        size = sum(one.stat().st_size for one in [path, *path.rglob("*")] if one.is_file())
        speeds = [_median_rate(opened, order) for order in orders(count).values()]
        speeds.append(_median_rate(opened, np.arange(count), path))
        print(f"| {name} | {size / 1e6:,.0f} | " + " | ".join(f"{speed:,.0f}" for speed in speeds) + " |")


def _median_rate(opened: Callable[[], Reader], order: np.ndarray, forgotten: Path | None = None) -> float:
    rates = []
    for _ in range(3):
        if forgotten is not None:  # before it is opened: the kernel forgets no page that is mapped
            _forget(forgotten)
        rates.append(_rate(opened(), batches(order, 8)))
    return statistics.median(rates)


def _rate(read: Reader, chosen: Iterator[np.ndarray]) -> float:
    wanted = list(chosen)
    return sum(map(len, wanted)) / _seconds(lambda: [read(one) for one in wanted])


def _forget(path: Path) -> None:
    for one in [path, *path.rglob("*")]:
        if one.is_file():
            with one.open("rb") as handle:
                os.fsync(handle.fileno())
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def compressing(path: Path) -> None:
    """What zstd makes of a real matrix, as it is and with each number's two bytes apart."""
    content = path.read_bytes()
    apart = np.frombuffer(content[len(content) % 2 :], dtype=np.uint8).reshape(-1, 2).T.tobytes()
    print(f"\n| {path.name}: {len(content) / 1e6:.1f} MB | left | written, MB/s | read, MB/s |\n|---|---|---|---|")
    for level in (1, 3, 9):
        codec = pa.Codec("zstd", compression_level=level)
        for name, data in (("", content), (", bytes apart", apart)):
            packed = codec.compress(data)
            taken, back = (
                _seconds(partial(codec.compress, data)),
                _seconds(partial(codec.decompress, packed, len(data))),
            )
            speeds = f"{len(data) / taken / 1e6:.0f} | {len(data) / back / 1e6:.0f}"
            print(f"| zstd {level}{name} | {len(packed) / len(data):.0%} | {speeds} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where files are written (9 GB)")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--matrix", type=Path, help="a captured layer's file, to be compressed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        (Path(place) / "whole").mkdir()
        shard(given.images, Path(place) / "whole")
        reading(given.rows, Path(place))
    if given.matrix:
        compressing(given.matrix)


if __name__ == "__main__":
    main()
