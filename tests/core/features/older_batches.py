"""A store as older scripts leave it: batches of rows, a transposed array, a folder per feature, saved examples."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import zarr

BATCH_ROWS = 8


def planted(features: int = 6, rows: int = 19) -> np.ndarray:
    """[T, F]: feature 3 never fires, feature 4 fires everywhere, feature f on every (f + 2)-th row."""
    dense = np.zeros((rows, features), np.float32)
    for feature in range(features):
        at = np.arange(0, rows, 1 if feature == 4 else feature + 2)
        dense[at, feature] = feature + 1 + at / rows
    dense[:, 3] = 0
    return dense


def write_batches(folder: Path, dense: np.ndarray) -> Path:
    """`global_index` as the older converter counts it: a shorter last batch by its own length."""
    for name in ("activations", "metadata", "embeddings"):
        (folder / name).mkdir(parents=True)
    starts = range(0, len(dense), BATCH_ROWS)
    for number, start in enumerate(starts):
        part = dense[start : start + BATCH_ROWS]
        array = zarr.create_array(
            store=str(folder / "activations" / f"batch_{number:04d}.zarr"),
            shape=part.shape,
            dtype="float32",
            chunks=(3, part.shape[1]),
        )
        array[:] = part
        columns = {
            "batch_id": [number] * len(part),
            "sample_id": range(len(part)),
            "ability_tokens": [[row % 3, 7] for row in range(start, start + len(part))],
            "global_index": range(number * len(part), (number + 1) * len(part)),
        }
        pl.DataFrame(columns).write_parquet(folder / "metadata" / f"batch_{number:04d}.parquet")
    notes = {"n_batches": len(starts), "total_samples": len(dense), "compression": "zstd"}
    (folder / "conversion_metadata.json").write_text(json.dumps(notes))
    return folder


def write_transposed(folder: Path, dense: np.ndarray) -> Path:
    array = zarr.create_array(
        store=str(folder / "transposed_activations.zarr"), shape=dense.T.shape, dtype="float32", chunks=(1, 7)
    )
    array[:] = dense.T
    (folder / "transposed_metadata.json").write_text("{}")
    return folder


def write_files(folder: Path, dense: np.ndarray) -> Path:
    for feature, column in enumerate(dense.T):
        place = folder / f"neuron_{feature:04d}"
        place.mkdir(parents=True)
        rows = np.flatnonzero(column)
        np.save(place / "idxs.npy", rows)
        np.save(place / "acts.npy", column[rows])
    return folder


def write_examples(folder: Path, dense: np.ndarray) -> Path:
    """The strongest two rows of each feature that fires."""
    folder.mkdir(parents=True)
    found = [
        {"feature_id": feature, "activation": float(dense[row, feature]), "global_index": int(row), "weapon_id": 9}
        for feature in range(dense.shape[1])
        for row in np.argsort(-dense[:, feature], kind="stable")[:2]
        if dense[row, feature] > 0
    ]
    pl.DataFrame(found).write_parquet(folder / "all_examples.parquet")
    (folder / "storage_metadata.json").write_text(json.dumps({"n_features": dense.shape[1], "top_k": 2}))
    return folder
