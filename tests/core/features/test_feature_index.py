"""The index on disk against the features computed densely."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.features.build import build_index
from core.features.columns import ArrayWriter, map_array, transpose
from core.features.index import FeatureIndex
from core.study.model import IndexConfig
from flows.runtime.settings import PROJECT
from tests.core.features.planted_layer import Layer


def test_rows_and_columns_hold_what_the_autoencoder_says(index: FeatureIndex, layer: Layer) -> None:
    assert (index.num_rows, index.num_features) == layer.dense.shape
    np.testing.assert_allclose(index.matrix().toarray(), layer.dense, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(index.activations([7, 0, 3]), layer.dense[:, [7, 0, 3]], rtol=1e-5, atol=1e-6)
    for feature in range(index.num_features):
        rows, values = index.csc(feature)
        assert rows.tolist() == np.flatnonzero(layer.dense[:, feature]).tolist()
        np.testing.assert_allclose(values, layer.dense[rows, feature], rtol=1e-5)


def test_a_part_of_the_rows_starts_its_own_count(index: FeatureIndex, layer: Layer) -> None:
    indptr, features, values = index.csr(5, 9)
    assert indptr[0] == 0
    for row in range(4):
        span = slice(int(indptr[row]), int(indptr[row + 1]))
        assert features[span].tolist() == np.flatnonzero(layer.dense[5 + row]).tolist()
        assert (values[span] > 0).all()


def test_arrays_stay_on_disk_in_the_declared_types(index: FeatureIndex) -> None:
    rows, values = index.csc(4)
    _, features, _ = index.csr(0, 3)
    assert isinstance(rows, np.memmap)
    assert isinstance(features, np.memmap)
    assert (rows.dtype, values.dtype, features.dtype) == (np.uint32, np.float32, np.uint32)
    assert map_array(index.folder / "csc_indptr.npy").dtype == np.uint64


def test_equal_inputs_give_equal_bytes(index: FeatureIndex, layer: Layer, tmp_path: Path) -> None:
    build_index(layer.sae, layer.table, layer.samples, IndexConfig(top_rows=6, neighbours=4), tmp_path)
    names = sorted(path.name for path in index.folder.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(names) == 10
    for name in names:
        assert (tmp_path / name).read_bytes() == (index.folder / name).read_bytes(), name


def test_small_blocks_give_the_same_index(
    index: FeatureIndex, layer: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.features.columns._BLOCK_ELEMENTS", 40 * 7)
    monkeypatch.setattr("core.features.statistics._CHUNK_ENTRIES", 50)
    monkeypatch.setattr("core.features.neighbours._BLOCK_ELEMENTS", 40 * 6)
    done: list[tuple[int, int]] = []
    figures = build_index(
        layer.sae,
        layer.table,
        layer.samples,
        IndexConfig(top_rows=6, neighbours=4),
        tmp_path,
        lambda *a: done.append(a),
    )
    small = FeatureIndex.open(tmp_path)
    np.testing.assert_allclose(small.matrix().toarray(), index.matrix().toarray(), rtol=1e-5)
    for name in ("feature", "count", "samples", "images", "top_rows"):
        assert small.features[name].equals(index.features[name]), name
    assert small.coactivation.equals(index.coactivation)
    assert done[-1][0] == done[-1][1] == len(done)
    assert figures["rows"] == len(layer.table)
    assert figures["silent_fraction"] >= 1 / 40


def test_a_feature_that_is_not_there_is_refused(index: FeatureIndex) -> None:
    with pytest.raises(BadInput, match="feature 40 is out of range; the layer has features 0-39"):
        index.csc(40)


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is no complete feature index .*csr_indptr\.npy"):
        FeatureIndex.open(tmp_path)


@given(
    st.lists(st.lists(st.integers(0, 8), unique=True, max_size=5), min_size=1, max_size=20),
    st.integers(1, 7),
)
def test_any_sparse_matrix_survives_the_turn_to_columns(
    tmp_path_factory: pytest.TempPathFactory, active: list[list[int]], block: int
) -> None:
    folder = tmp_path_factory.mktemp("turn")
    dense = np.zeros((len(active), 9), np.float32)
    for row, features in enumerate(active):
        dense[row, sorted(features)] = np.arange(1, len(features) + 1) + 10 * row
    rows, features = np.nonzero(dense)
    parts = (np.concatenate([[0], np.count_nonzero(dense, axis=1).cumsum()]), features, dense[rows, features])
    for name, dtype, part in zip(("indptr", "features", "values"), (np.uint64, np.uint32, np.float32), parts):
        with ArrayWriter(folder / f"csr_{name}.npy", dtype) as writer:
            for value in np.array_split(part, 3):
                writer.append(value)
    transpose(folder, 9, block)
    starts, found_rows, values = (map_array(folder / f"csc_{name}.npy") for name in ("indptr", "rows", "values"))
    again = np.zeros_like(dense)
    for feature in range(9):
        span = slice(int(starts[feature]), int(starts[feature + 1]))
        assert (np.diff(found_rows[span].astype(int)) > 0).all()
        again[found_rows[span], feature] = values[span]
    np.testing.assert_array_equal(again, dense)


def test_reading_it_loads_no_torch() -> None:
    """A server that shows features starts in the time that numpy and polars take."""
    heavy = ("torch", "transformers", "scipy", "sklearn", "altair")
    words = f"import sys; import core.features.index; print([name for name in {heavy!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", words], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_tables_that_are_kept_open_are_those_that_were_read(index: FeatureIndex) -> None:
    kept = FeatureIndex.open(index.folder)
    size = kept.load_tables(without=("top_rows",))
    assert 0 < size < sum(table.estimated_size() for table in (index.features, *_tables(index)))
    assert kept.features.equals(index.features.drop("top_rows"))
    for name, read in zip(_TABLES, _tables(index)):
        assert getattr(kept, name).equals(read) and getattr(kept, name).schema == read.schema
        for feature in (0, 7, 39):
            own = read.filter(pl.col("feature") == feature)
            assert kept.of_feature(name, feature).equals(own) and kept.of_feature(name, feature).schema == own.schema


_TABLES = ("positions", "neighbours", "coactivation")


def _tables(index: FeatureIndex) -> list[pl.DataFrame]:
    return [getattr(index, name) for name in _TABLES]
