"""A feature's activations read by all four back ends from one store, and from the layout that they replace.

    python benchmarks/backends.py [--folder DIR] [--rows 1000000] [--features 256] [--rounds 40]

The store is planted: of its features 8 are active in 100,000 rows, 8 in 500,000, the others in 1,000; values are random
float32. It is written as columns (csc), two files a feature, one sharded zarr array, batches of 100,000 rows (zarr
chunks of 1000 rows and all features), and as what older scripts read: an array of chunks (1, 10000), float32, zstd, a
file each. A read gives rows and values in memory. Warm: the store is open and its files were read before. Cold: the
store is opened again and the kernel has been asked to forget its files. Every read is compared with what was planted.
"""

import argparse
import gc
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from core.features.backends.csc import CscColumns
from core.features.backends.transposed_zarr import TransposedZarr
from core.features.columns import ArrayWriter
from core.features.converting import convert_store
from core.features.open_store import open_store

HEAVY, RARE, BATCH = {100_000: 8, 500_000: 8}, 1000, 100_000
REPLACED = "zarr, chunks (1, 10000)"
Load = Callable[[int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Contender:
    """A layout: where it lies, what opens it, and how often a feature is read from it."""

    name: str
    folder: Path
    backend: str
    warm: int
    cold: int

    def open(self) -> Load:
        load = TransposedZarr(self.folder).load if self.name == REPLACED else None
        load = load or open_store(self.folder, backend=self.backend).activations

        def read(feature: int) -> tuple[np.ndarray, np.ndarray]:
            rows, values = load(feature)
            return np.array(rows), np.array(values)  # a map is not read before it is asked for

        return read

    def files(self) -> Iterator[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())


def counts(features: int) -> np.ndarray:
    """Active rows by feature, the heavy ones first."""
    heavy = [count for count, many in HEAVY.items() for _ in range(many)]
    return np.array([*heavy, *[RARE] * (features - len(heavy))])


def planted(feature: int, active: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(feature)
    at = np.sort(rng.choice(rows, active, replace=False)).astype(np.uint32)
    return at, rng.gamma(2, 1, active).astype(np.float32) + np.float32(0.01)


def write_columns(folder: Path, features: int, rows: int) -> None:
    folder.mkdir(parents=True)
    active = counts(features)
    np.save(folder / "csc_indptr.npy", np.concatenate([[0], active.cumsum()]).astype(np.uint64))
    with (
        ArrayWriter(folder / "csc_rows.npy", np.uint32) as at,
        ArrayWriter(folder / "csc_values.npy", np.float32) as values,
    ):
        for feature, count in enumerate(active):
            found = planted(feature, int(count), rows)
            at.append(found[0])
            values.append(found[1])
    np.save(folder / "csr_indptr.npy", np.zeros(rows + 1, np.uint64))  # says how many rows there are


def write_batches(columns: Path, folder: Path, features: int, rows: int) -> None:
    """Batches as older scripts leave them."""
    import json

    import polars as pl

    source = CscColumns(columns)
    for name in ("activations", "metadata"):
        (folder / name).mkdir(parents=True)
    starts = range(0, rows, BATCH)
    for number, start in enumerate(starts):
        stop = min(start + BATCH, rows)
        dense = np.zeros((stop - start, features), np.float32)
        for feature in range(features):
            at, values = source.load(feature)
            inside = slice(*np.searchsorted(at, [start, stop]))
            dense[at[inside] - np.uint32(start), feature] = values[inside]
        array = zarr.create_array(
            store=str(folder / "activations" / f"batch_{number:04d}.zarr"),
            shape=dense.shape,
            dtype="float32",
            chunks=(1000, features),
            compressors=zarr.codecs.ZstdCodec(level=3),
        )
        array[:] = dense
        rows_of_batch = pl.DataFrame({"global_index": np.arange(start, stop)})
        rows_of_batch.write_parquet(folder / "metadata" / f"batch_{number:04d}.parquet")
    notes = {"n_batches": len(starts), "total_samples": rows, "n_features": features}
    (folder / "conversion_metadata.json").write_text(json.dumps(notes))


def write_replaced(columns: Path, folder: Path, features: int, rows: int) -> None:
    """What older scripts read: a chunk a file."""
    source = CscColumns(columns)
    array = zarr.create_array(
        store=str(folder),
        shape=(features, rows),
        dtype="float32",
        chunks=(1, 10_000),
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle=zarr.codecs.BloscShuffle.shuffle),
    )
    for feature in range(features):
        dense = np.zeros(rows, np.float32)
        at, values = source.load(feature)
        dense[at] = values
        array[feature] = dense


def forget(contender: Contender) -> None:
    gc.collect()
    for path in contender.files():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(contender: Contender, features: range, active: int, rows: int) -> dict[str, list[float]]:
    """Milliseconds of each read."""
    took: dict[str, list[float]] = {"warm": [], "cold": []}
    for turn in range(contender.cold):
        forget(contender)
        began = time.perf_counter()
        found = contender.open()(features[turn % len(features)])
        took["cold"].append((time.perf_counter() - began) * 1e3)
        compare(found, features[turn % len(features)], active, rows)
    load = contender.open()
    for feature in features[: max(1, min(len(features), contender.warm))]:
        load(feature)
    for turn in range(contender.warm):
        began = time.perf_counter()
        load(features[turn % len(features)])
        took["warm"].append((time.perf_counter() - began) * 1e3)
    return took


def compare(found: tuple[np.ndarray, np.ndarray], feature: int, active: int, rows: int) -> None:
    expected = planted(feature, active, rows)
    if not all(np.array_equal(one, other) for one, other in zip(found, expected)):
        raise SystemExit(f"feature {feature}: what was read is not what was planted")


def prepare(root: Path, features: int, rows: int, rounds: int) -> list[Contender]:
    columns = root / "csc"
    write_columns(columns, features, rows)
    store = open_store(columns)
    for to in ("sparse-files", "zarr"):
        convert_store(store, root / to, to)
    write_batches(columns, root / "batches", features, rows)
    write_replaced(columns, root / "replaced", features, rows)
    fast = (8 * rounds, 3 * 8)
    return [
        Contender("csc", columns, "csc", *fast),
        Contender("sparse-files", root / "sparse-files", "sparse-files", *fast),
        Contender("zarr, sharded", root / "zarr", "zarr", *fast),
        Contender("batch-scan", root / "batches", "batch-scan", 8, 4),
        Contender(REPLACED, root / "replaced", "zarr", *fast),
    ]


def show(contenders: list[Contender], active: int, first: int, rows: int) -> None:
    features = range(first, first + HEAVY[active])
    took = {one.name: measure(one, features, active, rows) for one in contenders}
    base = took[REPLACED]
    print(f"\n{active:,} active rows, {active * 8 / 1e6:.1f} MB of row numbers and values a read; milliseconds\n")
    print("| back end | warm p50 | p99 | cold p50 | p99 | reads warm, cold | replaced ÷ this, warm, cold |")
    print("|---|---|---|---|---|---|---|")
    for name, times in took.items():
        cells = [f"{np.percentile(times[kind], q):,.2f}" for kind in ("warm", "cold") for q in (50, 99)]
        ratios = [np.median(base[kind]) / np.median(times[kind]) for kind in ("warm", "cold")]
        reads = f"{len(times['warm'])}, {len(times['cold'])}"
        print(f"| {name} | {' | '.join(cells)} | {reads} | {ratios[0]:,.1f}, {ratios[1]:,.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the store is written for the while (default: a new one)")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="backends-", dir=options.folder))
    try:
        contenders = prepare(root, options.features, options.rows, options.rounds)
        os.sync()  # the kernel forgets no page that is yet to be written
        nnz = counts(options.features).sum()
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; zarr {zarr.__version__}")
        print(f"{options.features} features × {options.rows:,} rows, {nnz:,} active\n")
        print("| back end | MB | files |\n|---|---|---|")
        for one in contenders:
            sizes = [path.stat().st_size for path in one.files()]
            print(f"| {one.name} | {sum(sizes) / 1e6:,.1f} | {len(sizes):,} |")
        first = 0
        for active, many in HEAVY.items():
            show(contenders, active, first, options.rows)
            first += many
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
