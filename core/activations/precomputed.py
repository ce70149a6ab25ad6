"""Activations made elsewhere, copied into a shard of the store: from there on they are rows like any other."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool

from core.activations.exchange import open_layers, read_index
from core.activations.matrices import Matrix
from core.activations.precomputed_tokens import read_tokens
from core.activations.requests import Drop
from core.activations.rows import FILES
from core.activations.writing import Picked, ShardWriter
from core.data.languages import LANGUAGES
from core.errors import BadInput
from core.progress import Progress, silent
from core.study.model import Segment
from core.study.sites import Site

_FILE = FILES[0]
"""All rows stand in one file, whatever their language, so that they keep the order that they came in."""
_BLOCK_NUMBERS = 2**22
"""Numbers read at once: 16 MiB in float32."""


@dataclass(frozen=True)
class ImportJob:
    """What is taken of a folder, and the samples that its tokens speak of."""

    folder: Path
    samples: pl.DataFrame
    layers: tuple[int, ...]
    site: Site
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class ImportSummary:
    """What the shard holds: rows by file, `d_model` numbers each, the captions whose image has no rows, and layers with
    NaN or Inf (layer → rows). `compute_dtype` is what the first layer came in."""

    images: int
    captions: int
    rows: dict[str, int]
    layers: tuple[int, ...]
    site: Site
    d_model: int
    compute_dtype: str
    drops: tuple[Drop, ...]
    nonfinite: dict[str, int]


def import_shard(job: ImportJob, out: Path, progress: Progress = silent) -> ImportSummary:
    """Copy the layers, rounded to bfloat16, with their tokens.

    The folder `out` gets the files that `capture_shard` writes. Rows keep their order; those of other segments are left
    out. Memory is bounded by blocks. NaN and Inf are counted, and left to `examine_layer`.

    Raises:
        BadInput: a file or a column of the folder is wrong, or no row is of the segments.
        OSError: the disk is full.
    """
    matrices = open_layers(job.folder, index := read_index(job.folder), job.layers)
    first = matrices[job.layers[0]]
    tokens = read_tokens(job.folder / index.tokens, first.rows, job.samples)
    kept = tokens["segment"].is_in(job.segments).to_numpy()
    if not kept.any():
        raise BadInput(f"{job.folder / index.tokens}: no row is of capture.segments ({', '.join(job.segments)})")
    tokens = tokens.filter(pl.Series(kept)).with_columns(
        row=pl.int_range(pl.len(), dtype=pl.UInt32), group=pl.lit(_FILE)
    )
    counts = dict.fromkeys(FILES, 0) | {_FILE: len(tokens)}
    with ShardWriter(out, counts, job.layers, first.width) as writer:
        whole = len(kept) * len(job.layers)
        for number, layer in enumerate(job.layers):
            for read in _copy(matrices[layer], layer, kept, writer):
                progress(number * len(kept) + read, whole)
        writer.settle()
        wrong = {str(layer): int(rows.sum()) for (layer, _), rows in writer.nonfinite.items() if rows.any()}
    summary = _summary(job, tokens, counts, first, wrong)
    tokens.write_parquet(out / "tokens.parquet")
    text = json.dumps(asdict(summary), indent=1, sort_keys=True, ensure_ascii=False)
    (out / "shard.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _copy(matrix: Matrix, layer: int, kept: Bool[np.ndarray, " T"], writer: ShardWriter) -> Iterator[int]:
    """Copy a layer, and tell after each block how many rows are read."""
    read = written = 0
    for block in matrix.blocks(max(1, _BLOCK_NUMBERS // matrix.width)):
        own = block[kept[read : read + len(block)]]
        read += len(block)
        if len(own):
            rows = torch.from_numpy(own).to(torch.bfloat16)
            writer.put(Picked(_FILE, np.arange(written, written + len(own)), {layer: rows}))
            written += len(own)
        yield read


def _summary(
    job: ImportJob, tokens: pl.DataFrame, counts: dict[str, int], matrix: Matrix, wrong: dict[str, int]
) -> ImportSummary:
    captions = tokens.filter(segment="caption").select("sample_id", "language").n_unique()
    return ImportSummary(
        images=tokens["image_id"].n_unique(),
        captions=captions,
        rows=counts,
        layers=job.layers,
        site=job.site,
        d_model=matrix.width,
        compute_dtype=matrix.dtype,
        drops=_without_rows(job.samples, tokens),
        nonfinite=wrong,
    )


def _without_rows(samples: pl.DataFrame, tokens: pl.DataFrame) -> tuple[Drop, ...]:
    """The captions of images that the folder knows nothing of."""
    there: Sequence[str] = tokens["image_id"].unique().to_list()
    absent = samples.filter(~pl.col("image_id").is_in(there)).sort("sample_id")
    return tuple(
        Drop(row["sample_id"], language, "capture.precomputed has no rows of it")
        for row in absent.iter_rows(named=True)
        for language in LANGUAGES
        if row[f"caption_{language}"] is not None
    )
