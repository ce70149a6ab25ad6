"""Any store is opened as it is, the fastest layout first, and what is wrong with one is told in one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.features.backends.card import StoreCard
from core.features.backends.csc import CscColumns
from core.features.backends.sparse_files import write_sparse_files
from core.features.index import FeatureIndex
from core.features.open_store import open_store
from tests.core.features.older_batches import planted, write_batches, write_examples, write_files, write_transposed

DENSE = planted()
Writer = Callable[[Path, np.ndarray], Path]


def told(*folders: Path | None, **more: object) -> str:
    with pytest.raises(BadInput) as raised:
        open_store(*folders, **more)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("write", "backend", "shape"),
    [
        (write_files, "sparse-files", (None, None)),
        (write_transposed, "zarr", (6, 19)),
        (write_batches, "batch-scan", (6, 19)),
    ],
)
def test_a_store_of_older_scripts_is_read_as_it_is(
    tmp_path: Path, write: Writer, backend: str, shape: tuple[int | None, int | None]
) -> None:
    store = open_store(write(tmp_path / "old", DENSE))
    assert (store.backend, store.passed_over) == (backend, ())
    assert (store.num_features, store.num_rows) == shape
    for feature in range(DENSE.shape[1]):
        rows, values = store.activations(feature)
        np.testing.assert_array_equal(rows, np.flatnonzero(DENSE[:, feature]))
        np.testing.assert_array_equal(values, DENSE[rows, feature])
    with pytest.raises(BadInput, match="has no feature 6"):
        store.activations(6)


def test_a_study_s_index_is_a_store(index: FeatureIndex) -> None:
    store = open_store(str(index.folder))
    assert repr(store) == f"<store csc in {index.folder}: 40 features, {index.num_rows} rows>"
    assert store.statistics is not None and store.statistics.equals(index.features) and store.rows is None


def test_the_fastest_layout_is_read_and_one_that_is_named(tmp_path: Path) -> None:
    batches, files = write_batches(tmp_path / "batches", DENSE), write_files(tmp_path / "files", DENSE)
    array = write_transposed(tmp_path / "array", DENSE)
    assert open_store(batches, array, files).backend == "sparse-files"
    assert open_store(batches, array).backend == "zarr"
    assert open_store(batches, array / "transposed_activations.zarr", backend="batch-scan").place == batches
    assert "nothing of back end 'csc' is there; there is zarr in " in told(None, array, backend="csc")


def test_a_damaged_layout_is_passed_over_and_said(tmp_path: Path, index: FeatureIndex) -> None:
    write_sparse_files(CscColumns(index.folder), index.num_features, tmp_path)
    for name in ("csc_indptr.npy", "csc_rows.npy", "csc_values.npy"):
        shutil.copy(index.folder / name, tmp_path)
    whole = (tmp_path / "csc_rows.npy").read_bytes()
    (tmp_path / "csc_rows.npy").write_bytes(whole[:-40])
    store = open_store(tmp_path)
    assert store.backend == "sparse-files" and len(store.passed_over) == 1
    assert f"{tmp_path}: cannot be read" in store.passed_over[0]
    assert f"{tmp_path}: cannot be read" in told(tmp_path, backend="csc")
    (tmp_path / "csc_rows.npy").write_bytes(whole)
    assert open_store(tmp_path).backend == "csc"


def test_rows_of_batches_are_numbered_through_them(tmp_path: Path) -> None:
    store = open_store(write_batches(tmp_path / "old", DENSE))
    strongest = store.examples(4)
    assert strongest["row"].to_list() == list(range(18, -1, -1))
    assert strongest["ability_tokens"].to_list()[0] == [0, 7]
    assert store.rows is not None and store.rows["global_index"].to_list()[-1] == 8, "which is no row number"


def test_saved_examples_are_given_before_the_strongest_rows(tmp_path: Path) -> None:
    batches, saved = write_batches(tmp_path / "old", DENSE), write_examples(tmp_path / "saved", DENSE)
    store = open_store(batches, examples_dir=saved)
    assert store.examples(4).columns == ["feature", "value", "row", "weapon_id"]
    assert store.examples(4)["row"].to_list() == [18, 17] and store.examples(3).is_empty()
    (saved / "all_examples.parquet").rename(saved / "examples.parquet")
    assert "examples.parquet: has no column 'feature'" in told(batches, examples_dir=saved)
    (saved / "examples.parquet").write_bytes(b"PAR1")
    assert "examples.parquet: cannot be read" in told(batches, examples_dir=saved)
    (saved / "examples.parquet").unlink()
    assert f"examples_dir {saved}: holds none of examples.parquet, all_examples" in told(batches, examples_dir=saved)


def test_folders_of_different_stores_are_refused(tmp_path: Path) -> None:
    batches = write_batches(tmp_path / "batches", DENSE)
    array = write_transposed(tmp_path / "array", planted(features=7))
    assert "has 6 features, and zarr in" in told(batches, array)
    other = write_transposed(tmp_path / "longer", planted(rows=20))
    assert "has 19 rows, and zarr in" in told(batches, other) and "name folders of one SAE" in told(batches, other)
    saved = write_examples(tmp_path / "saved", planted(features=7))
    assert f"examples_dir {saved}: are of 7 features, and batch-scan" in told(batches, examples_dir=saved)


def test_stores_of_two_saes_of_one_width_are_told_apart_by_their_cards(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_files(tmp_path / name, DENSE)
        StoreCard(6, 19, {"layer": "3", "sae": name}).write(tmp_path / name)
    assert "is of layer 3, sae other, and sparse-files" in told(tmp_path / "one", None, tmp_path / "other")
    (tmp_path / "one" / "store.json").write_text("{")
    assert "store.json: is damaged" in told(tmp_path / "one")


def test_a_folder_with_nothing_of_its_kind_is_named(tmp_path: Path) -> None:
    files = write_files(tmp_path / "files", DENSE)
    assert told() == "open_store: name a folder: data_dir, transposed_dir or neuron_acts_dir"
    assert told(tmp_path / "none") == f"data_dir {tmp_path / 'none'}: does not exist"
    assert told(tmp_path).startswith(f"data_dir {tmp_path}: holds no store: neither csc_*.npy of a feature index")
    assert told(files, files).startswith(f"transposed_dir {files}: holds no zarr array")
    array = write_transposed(tmp_path / "array", DENSE)
    assert told(files, None, array).startswith(f"neuron_acts_dir {array}: holds no neuron_0000")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("histograms.pkl", "`saeflow store precompute` computes what it holds"),
        ("feature_stats.pkl", "`saeflow store precompute` computes what it holds"),
        ("batch_0000.joblib", "let the script that wrote it write its zarr batches"),
    ],
)
def test_pickles_are_refused_with_the_way_round_them(tmp_path: Path, name: str, fix: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for place in (tmp_path, tmp_path / name):
        line = told(place)
        assert line.startswith(f"{tmp_path / name}: is a pickle, which is never read; ") and fix in line


def test_damaged_batches_are_named(tmp_path: Path) -> None:
    folder = write_batches(tmp_path / "old", DENSE)
    notes = folder / "conversion_metadata.json"
    good = notes.read_text()
    for change, line in (
        ({"n_batches": 4}, "batch_0003.zarr: is missing, and conversion_metadata.json counts it"),
        ({"n_batches": "3"}, "conversion_metadata.json: n_batches is '3'; a number above 0 is needed"),
        ({"total_samples": 18}, "conversion_metadata.json: total_samples is 18, and there are 19"),
        ({"n_features": 7}, "conversion_metadata.json: n_features is 7, and there are 6"),
    ):
        notes.write_text(json.dumps(json.loads(good) | change))
        assert line in told(folder)
    notes.write_text(good[:-9])
    assert f"{notes}: cannot be read" in told(folder)
    notes.write_text(good)
    table = folder / "metadata" / "batch_0001.parquet"
    pl.read_parquet(table)[1:].write_parquet(table)
    store = open_store(folder)
    with pytest.raises(BadInput, match=r"batch_0001\.parquet: has 7 rows, and batch_0001\.zarr has 8"):
        _ = store.rows
    chunk = next(
        path for path in sorted((folder / "activations" / "batch_0001.zarr" / "c").rglob("*")) if path.is_file()
    )
    chunk.write_bytes(chunk.read_bytes()[:5])
    with pytest.raises(BadInput, match=r"batch_0001\.zarr: cannot be read"):
        store.activations(0)


def test_nan_in_a_batch_is_no_activation(tmp_path: Path) -> None:
    dense = planted()
    dense[9, 2] = np.nan
    with pytest.raises(BadInput, match=r"batch_0001\.zarr: holds NaN or Inf"):
        open_store(write_batches(tmp_path / "old", dense)).activations(2)


def test_opening_a_store_loads_no_torch(index: FeatureIndex) -> None:
    code = f"import sys, saeflow; saeflow.open_store({str(index.folder)!r}).examples(4);"
    code += " print([name for name in ('torch', 'transformers', 'scipy', 'prefect', 'zarr') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr
