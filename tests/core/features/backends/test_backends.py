"""Every layout gives the same rows and values, and tells what is wrong with a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInput
from core.features.backends.batch_scan import BatchScan, CsrBatch
from core.features.backends.csc import CscColumns
from core.features.backends.loader import ActivationLoader
from core.features.backends.sparse_files import SparseFiles, write_sparse_files
from core.features.backends.transposed_zarr import TransposedZarr, write_transposed_zarr
from core.features.index import FeatureIndex


def columns(index: FeatureIndex, _: Path) -> ActivationLoader:
    return CscColumns(index.folder)


def files(index: FeatureIndex, folder: Path) -> ActivationLoader:
    write_sparse_files(CscColumns(index.folder), index.num_features, folder)
    return SparseFiles(folder)


def transposed(index: FeatureIndex, folder: Path) -> ActivationLoader:
    write_transposed_zarr(CscColumns(index.folder), (index.num_features, index.num_rows), folder / "all.zarr")
    return TransposedZarr(folder / "all.zarr")


def scan(index: FeatureIndex, _: Path) -> ActivationLoader:
    bounds = range(0, index.num_rows, 7)
    return BatchScan([CsrBatch(start, *index.csr(start, start + 7), index.num_features) for start in bounds])


LAYOUTS = [columns, files, transposed, scan]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_feature_is_that_of_the_index(
    index: FeatureIndex, tmp_path: Path, layout: Callable[[FeatureIndex, Path], ActivationLoader]
) -> None:
    store = layout(index, tmp_path)
    assert store.is_available()
    dense = index.matrix().toarray()
    for feature in range(index.num_features):
        found = store.load(feature)
        assert found is not None
        rows, values = found
        np.testing.assert_array_equal(rows, np.flatnonzero(dense[:, feature]))
        np.testing.assert_array_equal(values, dense[rows, feature])
        assert (rows.dtype, values.dtype) == (np.uint32, np.float32)
    assert store.load(index.num_features) is None and store.load(-1) is None


@pytest.mark.parametrize("store", [CscColumns, SparseFiles, TransposedZarr])
def test_an_empty_folder_is_not_available(tmp_path: Path, store: Callable[[Path], ActivationLoader]) -> None:
    assert not store(tmp_path).is_available() and not store(tmp_path / "none").is_available()
    assert not BatchScan([]).is_available()


def test_files_go_on_where_a_run_was_ended(index: FeatureIndex, tmp_path: Path) -> None:
    source = CscColumns(index.folder)
    assert write_sparse_files(source, 3, tmp_path) == 3
    (tmp_path / ".neuron_0003.part").mkdir()  # what a kill leaves
    assert write_sparse_files(source, index.num_features, tmp_path) == index.num_features - 3
    assert not list(tmp_path.glob(".*"))


def test_what_an_ended_run_left_of_an_array_is_no_array(index: FeatureIndex, tmp_path: Path) -> None:
    (tmp_path / ".all.zarr.part").mkdir()
    store = transposed(index, tmp_path)
    assert store.is_available() and not (tmp_path / ".all.zarr.part").exists()
    with pytest.raises(BadInput, match=r"all\.zarr: is there already"):
        transposed(index, tmp_path)


def test_older_files_may_be_unordered_and_hold_zeros(tmp_path: Path) -> None:
    place = tmp_path / "neuron_0000"
    place.mkdir()
    np.save(place / "idxs.npy", np.array([5, 2, 9], np.int64))
    np.save(place / "acts.npy", np.array([1.0, 3.0, 0.0], np.float16))
    found = SparseFiles(tmp_path).load(0)
    assert found is not None and found[0].tolist() == [2, 5] and found[1].tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("rows", "values", "words"),
    [
        ([1, 2], [1.0], "do not fit acts"),
        ([0.5], [1.0], "do not fit acts"),
        ([1], [np.nan], "NaN or Inf"),
        ([-1], [1.0], "a negative row"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, rows: list[float], values: list[float], words: str) -> None:
    place = tmp_path / "neuron_0007"
    place.mkdir()
    np.save(place / "idxs.npy", np.array(rows))
    np.save(place / "acts.npy", np.array(values))
    with pytest.raises(BadInput, match=f"neuron_0007: .*{words}"):
        SparseFiles(tmp_path).load(7)


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    place = tmp_path / "neuron_0000"
    place.mkdir()
    np.save(place / "idxs.npy", np.array([{}]), allow_pickle=True)
    np.save(place / "acts.npy", np.array([1.0]))
    with pytest.raises(BadInput, match="neuron_0000: cannot be read"):
        SparseFiles(tmp_path).load(0)


def test_an_index_that_lost_bytes_and_a_group_of_two_arrays_are_named(index: FeatureIndex, tmp_path: Path) -> None:
    import zarr

    for name in ("indptr", "rows", "values"):
        np.save(tmp_path / f"csc_{name}.npy", np.array([0, 2], np.uint64) if name == "indptr" else np.zeros(1))
    with pytest.raises(BadInput, match="do not fit each other; run index_features again"):
        CscColumns(tmp_path).load(0)
    group = zarr.open_group(str(tmp_path / "two.zarr"), mode="w")
    for name in ("a", "b"):
        group.create_array(name, shape=(2, 3), dtype="float32")
    with pytest.raises(BadInput, match=r"two\.zarr: holds 2 arrays"):
        TransposedZarr(tmp_path / "two.zarr").load(0)
