"""Captured layers as files that other tools read."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from core.activations import export
from core.activations.export import COLUMNS, export_layers
from core.errors import BadInput
from core.progress import Stopped
from tests.core.activations.conftest import Captured

FORMATS = ("npy", "parquet", "zarr")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that a file is written in many."""
    monkeypatch.setattr(export, "_BLOCK_NUMBERS", 500)


def read_with_its_own_tool(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".parquet":
        return pl.read_parquet(path)["activation"].to_numpy()
    return np.asarray(pytest.importorskip("zarr").open_array(str(path), mode="r")[:])


@pytest.mark.parametrize("kind", FORMATS)
def test_every_row_of_every_layer_is_there_beside_its_token(captured: Captured, tmp_path: Path, kind: Any) -> None:
    if kind == "zarr":
        pytest.importorskip("zarr")
    tables = [captured.table(layer) for layer in (0, 3)]
    told: list[tuple[int, int]] = []
    export_layers(tables, tmp_path / "rows", kind, lambda done, total: told.append((done, total)))
    for table in tables:
        found = read_with_its_own_tool(tmp_path / "rows" / f"layer_{table.layer}.{kind}")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, table.block(0, len(table)).numpy())
    tokens = pl.read_parquet(tmp_path / "rows" / "tokens.parquet")
    assert tokens.equals(tables[0].tokens.select(COLUMNS))
    index = json.loads((tmp_path / "rows" / "index.json").read_text())
    assert index == {
        "layers": {"0": f"layer_0.{kind}", "3": f"layer_3.{kind}"},
        "tokens": "tokens.parquet",
        "site": "resid_post",
        "rows": len(tables[0]),
        "d_model": tables[0].d_model,
        "dtype": "float32",
    }
    assert len(told) > 4 and told == sorted(told) and told[-1] == (2 * len(tokens), 2 * len(tokens))


def test_parquet_has_the_tokens_columns_too_and_a_row_group_a_block(captured: Captured, tmp_path: Path) -> None:
    table = captured.table(1)
    export_layers([table], tmp_path / "rows", "parquet")
    path = tmp_path / "rows" / "layer_1.parquet"
    assert pl.read_parquet(path).drop("activation").equals(table.tokens.select(COLUMNS))
    with pq.ParquetFile(path) as file:
        assert file.metadata.num_row_groups == -(-len(table) // (500 // table.d_model))
        assert str(file.schema_arrow.field("activation").type).startswith("fixed_size_list<element: float")


def test_rows_that_a_layer_dropped_are_left_out_of_all(captured: Captured, tmp_path: Path) -> None:
    whole = captured.table(0)
    kept = {0: np.arange(len(whole))[2:], 3: np.delete(np.arange(len(whole)), [5, 9])}
    for layer, rows in kept.items():
        (tmp_path / str(layer)).mkdir()
        pl.DataFrame({"origin": rows.astype(np.uint32)}).write_parquet(tmp_path / str(layer) / "keep.parquet")
    tables = [captured.table(layer, tmp_path / str(layer)) for layer in kept]
    export_layers(tables, tmp_path / "rows", "npy")
    left = np.delete(np.arange(len(whole)), [0, 1, 5, 9])
    for layer in kept:
        expected = captured.table(layer).read(left).numpy()
        np.testing.assert_array_equal(np.load(tmp_path / "rows" / f"layer_{layer}.npy"), expected)
    assert pl.read_parquet(tmp_path / "rows" / "tokens.parquet").equals(whole.tokens[left].select(COLUMNS))


def test_what_is_there_already_is_not_overwritten(captured: Captured, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export_layers([captured.table(0)], tmp_path / "empty", "npy")
    before = {path.name: path.read_bytes() for path in (tmp_path / "empty").iterdir()}
    with pytest.raises(BadInput, match="empty: is there already; name a new folder"):
        export_layers([captured.table(1)], tmp_path / "empty", "npy")
    assert {path.name: path.read_bytes() for path in (tmp_path / "empty").iterdir()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="file: is there already"):
        export_layers([captured.table(1)], tmp_path / "file", "npy")


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_that_is_stopped_leaves_nothing(captured: Captured, tmp_path: Path, kind: Any) -> None:
    if kind == "zarr":
        pytest.importorskip("zarr")

    def stop(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        if done > total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        export_layers([captured.table(0)], tmp_path / "rows", kind, stop)
    assert list(tmp_path.iterdir()) == []


def test_zarr_that_is_not_installed_is_told_before_anything_is_written(
    captured: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(BadInput, match=r"zarr is not installed: `pip install 'zarr>=3'`"):
        export_layers([captured.table(0)], tmp_path / "rows", "zarr")
    assert list(tmp_path.iterdir()) == []


def test_outliers_go_out_as_the_tokens_they_are(captured: Captured, tmp_path: Path) -> None:
    whole = captured.table(0)
    pl.DataFrame({"origin": [4, 8]}, schema={"origin": pl.UInt32}).write_parquet(tmp_path / "outliers.parquet")
    marked = captured.table(0, tmp_path)
    assert not marked.tokens["special"].equals(whole.tokens["special"])
    export_layers([marked], tmp_path / "rows", "npy")
    assert pl.read_parquet(tmp_path / "rows" / "tokens.parquet").equals(whole.tokens.select(COLUMNS))
