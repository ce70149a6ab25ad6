"""One SAE over every fragment, written as sparse arrays in the layout of a feature index."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from torch import Tensor

from core.concepts.card import ScanCard, ScanSource
from core.concepts.random_dictionary import random_codes
from core.concepts.scanned import CONTROL, ScannedSAE
from core.errors import BadInput
from core.features.activation_store import ROWS
from core.features.columns import SparseRows, ValueType, block_rows, transpose
from core.features.encoding import StreamRows, encode_rows
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder


class ReadableRows(StreamRows, Protocol):
    """Rows that are read in blocks or by number, such as a `LayerTable`'s."""

    def read(self, rows: Int[np.ndarray, " n"], /) -> Float[Tensor, "n D"]:
        """The rows of these numbers in float32."""


@dataclass(frozen=True)
class Fragments:
    """The stream at one layer and site, and what each of its rows is a fragment of (`FRAGMENTS` of
    core.concepts.fragments)."""

    stream: ReadableRows
    rows: pl.DataFrame

    @property
    def last(self) -> Int[np.ndarray, " N"]:
        """The rows of full sentences."""
        return np.flatnonzero(self.rows["is_full"].to_numpy())


@dataclass(frozen=True)
class Target:
    """The folder that is written, and the precision of activations there."""

    folder: Path
    values: ValueType = "float16"


def encode_fragments(
    sae: SparseAutoencoder, fragments: Fragments, source: ScanSource, target: Target, progress: Progress = silent
) -> ScanCard:
    """Encode every fragment and write csr_*.npy, csc_*.npy, rows.parquet and scan.json, the last, into the folder.

    Memory is bounded by blocks of rows. Equal inputs give equal bytes.

    Raises:
        BadInput: the stream holds NaN or Inf, or an activation does not fit into float16.
        OSError: the disk is full.
    """
    target.folder.mkdir(parents=True, exist_ok=True)
    try:
        with SparseRows(target.folder, target.values) as csr:
            encode_rows(sae, _Finite(fragments.stream), csr, progress)
    except BadInput as error:
        raise BadInput(f"{source.key}: {error}") from error
    return finish_scan(fragments.rows, sae.num_features, source, target)


def finish_scan(rows: pl.DataFrame, num_features: int, source: ScanSource, target: Target) -> ScanCard:
    """Turn the written rows to columns, and write rows.parquet and scan.json beside them."""
    transpose(target.folder, num_features, block_rows(num_features))
    rows.write_parquet(target.folder / ROWS, compression="zstd", statistics=False)
    entries = len(np.load(target.folder / "csr_features.npy", mmap_mode="r", allow_pickle=False))
    card = ScanCard(
        **source.model_dump(include=set(ScanSource.model_fields)),
        features=num_features,
        fragments=rows.height,
        sentences=int(rows["is_full"].sum()),
        entries=entries,
        measured_l0=entries / max(rows.height, 1),
        values=target.values,
    )
    card.write(target.folder)
    return card


def write_control(fragments: Fragments, folder: Path, seed: int = 0) -> None:
    """Write a random dictionary's activations on full sentences beside those of the scanned SAE in `folder`.

    It has as many directions (`random_codes`), drawn by seed and the SAE's key, and reads the stream less its mean over
    these rows. In each row as many of them are active as features of the SAE are there, the strongest.
    """
    scanned = ScannedSAE.open(folder)
    active = np.diff(scanned.full_sentences().indptr)
    x = fragments.stream.read(fragments.last).cpu().numpy()
    own = int.from_bytes(hashlib.sha256(scanned.card.key.encode()).digest()[:8], "big")
    codes = random_codes(x, x.mean(axis=0), scanned.card.features, active, np.random.SeedSequence((seed, own)))
    (folder / CONTROL).mkdir(exist_ok=True)
    with SparseRows(folder / CONTROL, scanned.card.values) as csr:
        csr.append(np.diff(codes.indptr), codes.indices, codes.data)


@dataclass(frozen=True)
class _Finite:
    """Rows of which NaN and Inf are refused: a feature's threshold would take them for silence."""

    stream: StreamRows

    def __len__(self) -> int:
        return len(self.stream)

    def block(self, start: int, stop: int) -> Float[Tensor, "n D"]:
        x = self.stream.block(start, stop)
        wrong = (~x.isfinite().all(dim=1)).nonzero()
        if len(wrong):
            raise BadInput(f"the stream holds NaN or Inf in row {start + int(wrong[0])}; set nonfinite: recompute")
        return x
