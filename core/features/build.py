"""Builds the feature index of a layer: every row encoded, then turned from rows to features."""

from pathlib import Path

import polars as pl

from core.activations.positions import position_sets
from core.activations.table import LayerTable
from core.data.known_concepts import THE_CONCEPT
from core.features.columns import SparseRows, block_rows, transpose
from core.features.encoding import encode_rows
from core.features.neighbours import coactivation, decoder_neighbours
from core.features.statistics import Occurrences, RowKinds, feature_statistics, position_statistics
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder
from core.study.model import IndexConfig


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
    block = block_rows(sae.num_features)
    portions = -(-len(table) // block) + 3
    with SparseRows(out) as csr:
        encode_rows(sae, table, csr, lambda done, *_: progress(done, portions))
    entries = csr.entries
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


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", statistics=False)
