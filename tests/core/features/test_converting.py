"""A store in any layout converts into any other without the loss of an activation, and is there once it is whole."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.features.backends.csc import CscColumns
from core.features.converting import Target, convert_store
from core.features.index import FeatureIndex
from core.features.open_store import open_store
from tests.core.features.older_batches import planted, write_batches, write_files, write_transposed

DENSE = planted()
SOURCES = {"batch-scan": write_batches, "zarr": write_transposed, "sparse-files": write_files}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("to", get_args(Target))
def test_every_layout_becomes_every_other(tmp_path: Path, source: str, to: Target) -> None:
    told: list[tuple[int, int]] = []
    old = open_store(SOURCES[source](tmp_path / "old", DENSE))
    convert_store(old, tmp_path / "new", to, progress=lambda done, total, metrics=None: told.append((done, total)))
    new = open_store(tmp_path / "new")
    assert (new.backend, new.num_features, new.num_rows) == (to, 6, 19)
    for feature in range(6):
        rows, values = new.activations(feature)
        np.testing.assert_array_equal(rows, np.flatnonzero(DENSE[:, feature]))
        np.testing.assert_array_equal(values, DENSE[rows, feature])
        assert (rows.dtype, values.dtype) == (np.uint32, np.float32)
    assert told[-1][0] == told[-1][1]
    assert not list(tmp_path.rglob(".*"))


def test_batches_become_an_index_with_their_tables_and_matrices(tmp_path: Path) -> None:
    import zarr

    folder = write_batches(tmp_path / "old", DENSE)
    inputs = np.arange(19 * 4, dtype=np.float32).reshape(19, 4)
    zarr.create_array(store=str(folder / "embeddings" / "sae_input.zarr"), data=inputs)
    (folder / "precomputed").mkdir()
    (folder / "precomputed" / "histograms.pkl").write_bytes(b"\x80\x04.")
    notes = convert_store(open_store(folder), tmp_path / "new", "csc")
    assert notes == [
        "embeddings/: sae_input as .npy [rows, …], float32",
        "precomputed/ stays behind (histograms.pkl); `saeflow store precompute` computes it from the store",
        "global_index is not the row's number from row 16 on (3 rows); rows are numbered through the batches, and the "
        "column is kept as it is",
    ]
    index = FeatureIndex.open(tmp_path / "new")
    np.testing.assert_array_equal(index.matrix().toarray(), DENSE)
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "embeddings" / "sae_input.npy"), inputs)
    rows = open_store(tmp_path / "new").rows
    assert rows is not None and rows.columns == ["batch_id", "sample_id", "ability_tokens", "global_index"]


def test_an_index_takes_its_tables_along_and_comes_back_the_same(index: FeatureIndex, tmp_path: Path) -> None:
    origin = {"layer": "0", "sae": "train_sae/abc"}
    convert_store(open_store(index.folder), tmp_path / "array", "zarr", origin)
    convert_store(open_store(tmp_path / "array"), tmp_path / "columns", "csc")
    for name in ("csc_indptr.npy", "csc_rows.npy", "csc_values.npy", "features.parquet", "coactivation.parquet"):
        assert (tmp_path / "columns" / name).read_bytes() == (index.folder / name).read_bytes(), name
    assert open_store(tmp_path / "columns").layout.origin == origin
    assert open_store(tmp_path / "columns").num_rows == index.num_rows
    convert_store(open_store(index.folder), tmp_path / "copy", "csc")
    assert FeatureIndex.open(tmp_path / "copy").num_rows == index.num_rows


def test_a_filled_target_is_left_as_it_is(tmp_path: Path) -> None:
    old = open_store(write_files(tmp_path / "old", DENSE))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="new: is there already; name a new folder, or an empty one"):
        convert_store(old, tmp_path / "new", "csc")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_what_ends_half_way_leaves_no_store(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "old", DENSE)
    np.save(folder / "neuron_0004" / "idxs.npy", np.arange(3))
    for to in get_args(Target):
        with pytest.raises(BadInput, match=r"neuron_0004: idxs .* do not fit acts"):
            convert_store(open_store(folder), tmp_path / "new", to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_rows_beyond_those_of_the_store_are_told(index: FeatureIndex, tmp_path: Path) -> None:
    convert_store(open_store(index.folder), tmp_path / "copy", "csc")
    wrong = np.load(tmp_path / "copy" / "csc_rows.npy")
    wrong[-1] = 1 << 20
    np.save(tmp_path / "copy" / "csc_rows.npy", wrong)
    with pytest.raises(BadInput, match=r"has row 1,048,576, and the store has .*damaged, or of another run"):
        convert_store(open_store(tmp_path / "copy"), tmp_path / "array", "zarr")


def test_matrices_of_other_rows_are_refused(tmp_path: Path) -> None:
    import zarr

    folder = write_batches(tmp_path / "old", DENSE)
    zarr.create_array(store=str(folder / "embeddings" / "sae_input.zarr"), data=np.zeros((18, 4), np.float32))
    with pytest.raises(BadInput, match=r"sae_input\.zarr: has 18 rows, and the batches have 19"):
        convert_store(open_store(folder), tmp_path / "new", "csc")


def test_an_index_without_offsets_of_rows_ends_with_the_last_active_one(index: FeatureIndex, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("csc_indptr.npy", "csc_rows.npy", "csc_values.npy"):
        shutil.copy(index.folder / name, bare)
    assert open_store(bare).num_rows is None
    convert_store(open_store(bare), tmp_path / "array", "zarr")
    last = max(int(CscColumns(bare).load(feature)[0].max(initial=0)) for feature in range(40))
    assert open_store(tmp_path / "array").num_rows == last + 1


def test_a_store_that_never_fires_has_features(tmp_path: Path) -> None:
    silent = np.zeros((5, 3), np.float32)
    for name, write in SOURCES.items():
        convert_store(open_store(write(tmp_path / name, silent)), tmp_path / f"{name}-new", "csc")
        assert len(open_store(tmp_path / f"{name}-new").activations(2)[0]) == 0


def test_a_feature_without_a_folder_never_fires(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "old", DENSE)
    shutil.rmtree(folder / "neuron_0002")
    for to in get_args(Target):
        convert_store(open_store(folder), tmp_path / to, to)
        assert [len(open_store(tmp_path / to).activations(feature)[0]) > 0 for feature in (1, 2, 5)] == [
            True,
            False,
            True,
        ]


def test_rows_of_other_length_than_the_store_s_are_told(tmp_path: Path) -> None:
    convert_store(open_store(write_batches(tmp_path / "old", DENSE)), tmp_path / "new", "csc")
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "new" / "rows.parquet")
    with pytest.raises(BadInput, match=r"rows\.parquet: has 1 rows, and the store 19"):
        _ = open_store(tmp_path / "new").rows
