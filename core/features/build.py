"""Builds the feature index of a layer: every row encoded, then turned from rows to features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from core.activations.positions import position_sets
from core.activations.table import LayerTable
from core.data.known_concepts import THE_CONCEPT
from core.features.columns import ArrayWriter, transpose
from core.features.neighbours import coactivation, decoder_neighbours
from core.features.statistics import Occurrences, RowKinds, feature_statistics, position_statistics
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder
from core.study.model import IndexConfig

_BLOCK_ELEMENTS = 2**24
"""Rows times features encoded at once: 64 MiB of pre-activations."""


def build_index(
    sae: SparseAutoencoder,
    table: LayerTable,
    samples: pl.DataFrame,
    config: IndexConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, float]:
    """Encode every row of the layer and write the index into the folder `out`.

    Special rows are indexed like the others; statistics leave them out (but for the last-prompt position, which is
    often one). Memory is bounded by blocks, whatever the number of rows. Equal inputs give equal bytes.

    Returns:
        Figures of the index: rows, active entries, mean active a row, features that never fire.
    """
    out.mkdir(parents=True, exist_ok=True)
    block = max(1, _BLOCK_ELEMENTS // sae.num_features)
    portions = -(-len(table) // block) + 3
    entries = _encode(sae, table, out, _Portions(progress, block, portions))
    transpose(out, sae.num_features, block)
    progress(portions - 2, portions)
    kinds = RowKinds.of(table.tokens, position_sets(table.tokens, samples, THE_CONCEPT))
    occurrences = Occurrences.open(out)
    features = feature_statistics(occurrences, kinds, config.top_rows)
    _write(features, out / "features.parquet")
    _write(position_statistics(occurrences, kinds), out / "positions.parquet")
    progress(portions - 1, portions)
    _write(decoder_neighbours(sae, config.neighbours), out / "neighbours.parquet")
    _write(coactivation(occurrences, kinds, config.neighbours), out / "coactivation.parquet")
    progress(portions, portions)
    rows = float(len(table))
    silent_share = float((features["count"] == 0).mean() or 0)  # type: ignore[arg-type]
    return {"rows": rows, "entries": float(entries), "l0": entries / max(rows, 1), "silent_fraction": silent_share}


@dataclass(frozen=True)
class _Portions:
    progress: Progress
    block: int
    total: int


@torch.no_grad()
def _encode(sae: SparseAutoencoder, table: LayerTable, out: Path, portions: _Portions) -> int:
    names = (("indptr", np.uint64), ("features", np.uint32), ("values", np.float32))
    writers = [ArrayWriter(out / f"csr_{name}.npy", dtype) for name, dtype in names]
    with writers[0] as indptr, writers[1] as features, writers[2] as values:
        indptr.append(np.zeros(1, np.uint64))
        for start in range(0, len(table), portions.block):
            x = table.block(start, min(start + portions.block, len(table))).to(sae.b_dec.device)
            code = sae.encode(x)
            active = code.values > 0
            ends = values.length + active.sum(1).cumsum(0).cpu().numpy()
            features.append(code.indices[active].cpu().numpy())
            values.append(code.values[active].cpu().numpy())
            indptr.append(ends)
            portions.progress(start // portions.block + 1, portions.total)
        return values.length


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", statistics=False)
