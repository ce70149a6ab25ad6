"""A store of activations written in another layout: a new folder, which is there once it is whole."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.errors import BadInput
from core.features.activation_store import ROWS, ActivationStore
from core.features.backends.batch_files import BatchFiles
from core.features.backends.card import StoreCard
from core.features.backends.csc import CscColumns
from core.features.backends.layouts import TRANSPOSED
from core.features.backends.loader import ActivationLoader, Activations
from core.features.backends.sparse_files import SparseFiles, write_sparse_files
from core.features.backends.transposed_zarr import write_transposed_zarr
from core.features.batch_index import copy_embeddings, index_batches, numbering_note
from core.features.columns import ArrayWriter
from core.progress import Progress, silent
from core.store.folders import refuse_filled, renamed_into

Target = Literal["csc", "zarr", "sparse-files"]
"""What a store is converted to."""
TABLES = (
    *("features.parquet", "positions.parquet", "neighbours.parquet", "coactivation.parquet", "histograms.parquet"),
    *("idf.parquet", "influences.parquet", ROWS),
)
"""Tables beside a store, which hold in every layout."""


def convert_store(
    store: ActivationStore,
    target: Path,
    to: Target,
    origin: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Write the store to the new folder `target` in another layout, its tables beside it.

    Args:
        store: of any layout.
        target: a new folder, or an empty one; it is filled when everything is written.
        to: the layout.
        origin: what the SAE is of and was run on, for the new folder's card; by default what the source's card says.
        progress: told of features, or of rows where the source has batches of rows.

    Returns:
        What to know of the new folder, a line each.

    Raises:
        BadInput: something is in the target, the source is damaged, or it does not say how many features it has.
        OSError: the disk is full.
    """
    refuse_filled(target)
    features, rows = _size(store)
    with renamed_into(target) as folder:
        notes = _write(store, (features, rows), to, folder, progress)
        for name in TABLES:
            if (found := store.table_file(name)) is not None:
                shutil.copyfile(found, folder / name)
        StoreCard(features, rows, origin or store.layout.origin or {}).write(folder)
    return notes


def _size(store: ActivationStore) -> tuple[int, int]:
    """Features and rows; rows up to the last that any feature is active in, where nothing says more."""
    features, loader = store.num_features, store.layout.loader
    if features is None and isinstance(loader, SparseFiles):
        features = loader.highest() + 1
    if features is None:
        raise BadInput(f"{store.layout}: its back end does not say how many features it has; give its loader shape()")
    if store.num_rows is not None:
        return features, store.num_rows
    last = (int(rows[-1]) + 1 for rows, _ in _all(loader, features) if len(rows))
    return features, max(last, default=0)


def _all(loader: ActivationLoader, features: int) -> Iterator[Activations]:
    for feature in range(features):
        yield loader.load(feature) or _nothing()


def _nothing() -> Activations:
    return np.zeros(0, np.uint32), np.zeros(0, np.float32)


@dataclass(frozen=True)
class _Within:
    """A store that is looked at: a feature without a folder never fires, and no row is beyond the store's last."""

    store: ActivationStore
    rows: int

    def is_available(self) -> bool:
        return self.store.layout.loader.is_available()

    def load(self, feature_id: int, /) -> Activations:
        found = self.store.layout.loader.load(feature_id) or _nothing()
        last = int(found[0].max(initial=0))
        if last >= max(self.rows, 1):
            raise BadInput(
                f"{self.store.layout}: feature {feature_id} has row {last:,}, and the store has {self.rows:,}; it is "
                "damaged, or of another run"
            )
        return found


def _write(store: ActivationStore, size: tuple[int, int], to: Target, folder: Path, progress: Progress) -> list[str]:
    loader = store.layout.loader
    if isinstance(loader, CscColumns) and to == "csc":
        for path in sorted(loader.folder.glob("cs[cr]_*.npy")):
            shutil.copyfile(path, folder / path.name)
        return []
    if not isinstance(loader, BatchFiles):
        _WRITERS[to](_Within(store, size[1]), size, folder, progress)
        return []
    rows = loader.rows()
    columns = folder if to == "csc" else folder / ".columns"
    columns.mkdir(exist_ok=True)
    index_batches(loader, columns, progress)
    if to != "csc":
        _WRITERS[to](CscColumns(columns), size, folder, progress)
        shutil.rmtree(columns)
    rows.write_parquet(folder / ROWS, statistics=False)
    copied = copy_embeddings(loader, folder)
    return [*_notes(loader.folder, copied), *filter(None, [numbering_note(rows)])]


def _notes(source: Path, copied: list[str]) -> Iterator[str]:
    if copied:
        yield f"embeddings/: {', '.join(copied)} as .npy [rows, …], float32"
    left = sorted((source / "precomputed").glob("*"))
    if left:
        names = ", ".join(path.name for path in left)
        yield f"precomputed/ stays behind ({names}); `saeflow store precompute` computes it from the store"


def _write_columns(loader: ActivationLoader, size: tuple[int, int], folder: Path, progress: Progress) -> None:
    starts = np.zeros(size[0] + 1, np.uint64)
    with (
        ArrayWriter(folder / "csc_rows.npy", np.uint32) as rows,
        ArrayWriter(folder / "csc_values.npy", np.float32) as values,
    ):
        for feature, found in enumerate(_all(loader, size[0])):
            rows.append(found[0])
            values.append(found[1])
            starts[feature + 1] = values.length
            progress(feature + 1, size[0])
    np.save(folder / "csc_indptr.npy", starts)


def _write_zarr(loader: ActivationLoader, size: tuple[int, int], folder: Path, progress: Progress) -> None:
    write_transposed_zarr(loader, size, folder / TRANSPOSED, progress)


def _write_files(loader: ActivationLoader, size: tuple[int, int], folder: Path, progress: Progress) -> None:
    write_sparse_files(loader, size[0], folder, progress)


_WRITERS: Mapping[Target, Callable[[ActivationLoader, tuple[int, int], Path, Progress], None]] = {
    "csc": _write_columns,
    "zarr": _write_zarr,
    "sparse-files": _write_files,
}
