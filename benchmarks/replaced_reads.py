"""A feature read as older scripts do: a part of benchmarks/explorer_load.py.

The array is transposed zarr: chunks (1, 10000), float32, zstd, a file each. Only the features that are
read are written, into an array of full shape.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr

from core.features.backends.transposed_zarr import TransposedZarr
from core.features.index import FeatureIndex


class Reads(NamedTuple):
    """Seconds that each read took, and processor time per read."""

    seconds: list[float]
    cpu_s: float


def beside(index: FeatureIndex, features: Sequence[int], reads: int, folder: Path) -> dict[str, Reads]:
    """Each feature read in turn: by the index and by the array, in this process, all files warm."""
    place = Path(tempfile.mkdtemp(prefix="replaced-", dir=folder))
    try:
        _write(index, sorted(set(features)), place)
        array = TransposedZarr(place)
        for feature in sorted(set(features)):
            found = array.load(feature)
            assert found is not None
            if not all(np.array_equal(one, other) for one, other in zip(found, index.csc(feature))):
                raise SystemExit(f"feature {feature}: the array holds something else than the index")
        return {"index": _timed(index.csc, features, reads), "zarr": _timed(array.load, features, reads)}
    finally:
        shutil.rmtree(place)


def _write(index: FeatureIndex, features: Sequence[int], folder: Path) -> None:
    array = zarr.create_array(
        store=str(folder),
        shape=(index.num_features, index.num_rows),
        dtype="float32",
        chunks=(1, 10_000),
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle=zarr.codecs.BloscShuffle.shuffle),
    )
    for feature in features:
        array[feature] = index.activations([feature])[:, 0]


def _timed(load: Callable[[int], object], features: Sequence[int], reads: int) -> Reads:
    found, before = [], time.process_time()
    for turn in range(reads):
        began = time.perf_counter()
        rows, values = load(features[turn % len(features)])  # type: ignore[misc]
        np.array(rows), np.array(values)  # a map is not read before it is asked for
        found.append(time.perf_counter() - began)
    return Reads(found, (time.process_time() - before) / reads)


def milliseconds(seconds: Sequence[float]) -> str:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {1000 * cuts[49]:7.2f} ms   p99 {1000 * cuts[98]:7.2f} ms"
