"""A concept scan over SAEs of Gemma Scope's shape, made by seed one at a time, and made-up stream rows."""

import resource
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import torch
from scan_saes import FEATURES, clocked, gemm_peak, peak_told, random_jump_relu, size
from torch import Tensor

from core.concepts.card import ScanSource
from core.concepts.encoding import Fragments, Target, encode_fragments, write_control
from core.concepts.fragments import fragments_of
from core.concepts.scanned import ScannedSAE
from core.legacy.scan_runs import export_scans
from core.sae.architectures import SparseAutoencoder

ALL = 135
L0S = (13, 25, 50, 100, 200)
WIDTH = 2304


@dataclass(frozen=True)
class MadeUp:
    """Stream rows of independent normal numbers."""

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def block(self, start: int, stop: int) -> Tensor:
        """Rows of a block."""
        return self.x[start:stop]

    def read(self, rows: np.ndarray) -> Tensor:
        """Rows by number."""
        return self.x[torch.from_numpy(rows)]


def made_up(count: int) -> Fragments:
    """Sentences of 12 to 28 made-up words of one token each."""
    lengths = np.random.default_rng(0).integers(12, 29, count).tolist()
    rows = [
        fragments_of(f"s{number:04d}", "abc " * length, range(3, 4 * length, 4), ["abc"] * length)
        for number, length in enumerate(lengths)
    ]
    x = torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(0))
    return Fragments(MadeUp(x), pl.concat(rows))


def load(number: int) -> SparseAutoencoder:
    """The SAE of a number, with a threshold for its L0 on normal rows."""
    level = NormalDist().inv_cdf(1 - L0S[number % len(L0S)] / FEATURES)
    return random_jump_relu(WIDTH, level, number)


def scan_one(sae: SparseAutoencoder, fragments: Fragments, number: int, folder: Path) -> list[float]:
    """Seconds of encoding, of the random control and of reading maxima, and bytes."""
    source = ScanSource(key=folder.name, layer=number // 5, declared_l0=L0S[number % 5])
    encoded, _ = clocked(lambda: encode_fragments(sae, fragments, source, Target(folder)))
    control, _ = clocked(lambda: write_control(fragments, folder, seed=0))
    read, _ = clocked(lambda: ScannedSAE.open(folder).maxima())
    return [encoded, control, read, size(folder)]


def rehearse(saes: int, count: int, out: Path) -> None:
    """Scan, and print time, memory, bytes and what all SAEs and more sentences would take."""
    fragments = made_up(count)
    rows, peak = len(fragments.stream), gemm_peak(WIDTH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    making, _ = clocked(partial(load, 0))
    found = []
    began = time.perf_counter()
    for number in range(saes):
        found.append(scan_one(load(number), fragments, number, out / f"sae{number}"))
    wall = (time.perf_counter() - began) / saes
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    encoded, control, read, stored = np.mean(found, axis=0).tolist()
    floor = 2 * rows * WIDTH * FEATURES / peak
    print(f"{saes} of {ALL} random JumpReLU SAEs of {WIDTH} × {FEATURES}, {count} sentences, {rows:,} made-up rows\n")
    print("| an SAE: encoding s | FLOP floor s | share | control s | maxima s | making it s | wall s | MB | dense MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    numbers = f"| {encoded:.2f} | {floor:.2f} | {floor / encoded:.0%} | {control:.2f} | {read:.2f} | {making:.2f} "
    print(f"{numbers}| {wall:.1f} | {stored / 1e6:.1f} | {rows * FEATURES * 4 / 1e6:.0f} |")
    print(
        f"\npeak RSS {most:,.0f} MB, {before:,.0f} MB of it before; an SAE is {2 * WIDTH * FEATURES * 4 / 1e6:.0f} MB"
    )
    for sentences in (count, 1000):
        scale = sentences / count
        minutes = ALL * (scale * (encoded + control + read) + making) / 60
        print(
            f"projected: {ALL} SAEs, {sentences} sentences: {minutes:.0f} min, {scale * ALL * stored / 1e9:.2f} GB; ",
            end="",
        )
        print(f"floor {scale * ALL * floor / 60:.0f} min")
    full = fragments.rows.filter("is_full").select("sentence_id", pl.col("fragment").alias("sentence"), label=0)
    took, paths = clocked(lambda: export_scans([ScannedSAE.open(out / "sae0")], full, out / "old"))
    print(f"the first in the older layout: {paths[0].stat().st_size / 1e6:.1f} MB of npz in {took:.1f} s")
    print(peak_told(peak))
