"""The feature index of a layer: what is active in a row, and where a feature is active, memory-mapped from disk."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int, UInt
from scipy import sparse

from core.activations.positions import position_sets
from core.activations.table import LayerTable
from core.data.known_concepts import THE_CONCEPT
from core.errors import BadInput
from core.features.columns import ArrayWriter, map_array, transpose
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
    occurrences = Occurrences(*(map_array(out / f"csc_{name}.npy") for name in ("indptr", "rows", "values")))
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


class FeatureIndex:
    """The index that `build_index` wrote: arrays stay on disk until they are asked for.

    Its tables, read when first asked for: `features` (one row a feature), `positions` (feature × language × position
    set), `neighbours` (decoder cosine), `coactivation` (features that fire together).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("csr_indptr", "csr_features", "csr_values", "csc_indptr", "csc_rows", "csc_values")
        try:
            arrays = [map_array(folder / f"{name}.npy") for name in names]
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder}: is no complete feature index ({error}); run index_features again") from error
        self._indptr, self._features, self._values, self._starts, self._rows, self._column_values = arrays

    @classmethod
    def open(cls, folder: Path) -> "FeatureIndex":
        """Open the index in `folder`.

        Raises:
            BadInput: a file of it is missing or damaged.
        """
        return cls(folder)

    @property
    def num_rows(self) -> int:
        """Rows of the layer's table, T."""
        return len(self._indptr) - 1

    @property
    def num_features(self) -> int:
        """Features of the autoencoder, F."""
        return len(self._starts) - 1

    def csc(self, feature: int) -> tuple[UInt[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The rows a feature is active in, ascending, and its activations there.

        Raises:
            BadInput: there is no such feature.
        """
        if not 0 <= feature < self.num_features:
            raise BadInput(f"feature {feature} is out of range; the layer has features 0-{self.num_features - 1}")
        span = slice(int(self._starts[feature]), int(self._starts[feature + 1]))
        return self._rows[span], self._column_values[span]

    def csr(
        self, start: int, stop: int
    ) -> tuple[UInt[np.ndarray, " n1"], UInt[np.ndarray, " nnz"], Float[np.ndarray, " nnz"]]:
        """What is active in rows `start` to `stop` (exclusive): indptr from 0, features ascending in a row, values."""
        bounds = np.asarray(self._indptr[start : stop + 1])
        span = slice(int(bounds[0]), int(bounds[-1]))
        return bounds - bounds[0], self._features[span], self._values[span]

    def matrix(self, start: int = 0, stop: int | None = None) -> sparse.csr_array:
        """Rows `start` to `stop` as a SciPy matrix [rows, F], in memory."""
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        indptr, features, values = self.csr(start, stop)
        parts = (np.array(values), features.astype(np.int32), indptr.astype(np.int64))
        return sparse.csr_array(parts, shape=(stop - start, self.num_features))

    def activations(self, features: Int[np.ndarray, " n"] | list[int]) -> Float[np.ndarray, "T n"]:
        """Activations of chosen features over all rows, dense."""
        dense = np.zeros((self.num_rows, len(features)), np.float32)
        for column, feature in enumerate(features):
            rows, values = self.csc(int(feature))
            dense[rows, column] = values
        return dense

    @cached_property
    def features(self) -> pl.DataFrame:
        """One row a feature, with the columns of `core.features.statistics.FEATURES`."""
        return pl.read_parquet(self.folder / "features.parquet", glob=False)

    @cached_property
    def positions(self) -> pl.DataFrame:
        """One row a feature, language and position set it fires in: `core.features.statistics.POSITIONS`."""
        return pl.read_parquet(self.folder / "positions.parquet", glob=False)

    @cached_property
    def neighbours(self) -> pl.DataFrame:
        """The features of most similar decoder directions: `core.features.neighbours.NEIGHBOURS`."""
        return pl.read_parquet(self.folder / "neighbours.parquet", glob=False)

    @cached_property
    def coactivation(self) -> pl.DataFrame:
        """The features that fire in the same rows: `core.features.neighbours.COACTIVATION`."""
        return pl.read_parquet(self.folder / "coactivation.parquet", glob=False)
