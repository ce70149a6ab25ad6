"""A layer read without PyTorch: its tokens are those of the table, and what is active in a row that of the index."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.activations.tokens import captured_tokens, layer_tokens
from core.errors import BadInput
from core.features.index import FeatureIndex
from core.features.indexed_layer import ASSOCIATIONS, IndexedLayer, open_indexed
from flows.runtime.settings import PROJECT
from tests.core.features.planted_layer import Layer, make_layer


@pytest.fixture(scope="module")
def indexed(index: FeatureIndex, layer: Layer) -> IndexedLayer:
    return open_indexed(0, index.folder, layer.tokens)


def test_tokens_are_those_of_the_table(tmp_path: Path) -> None:
    table = make_layer(tmp_path).table
    captured = captured_tokens([tmp_path / "shard0", tmp_path / "shard1"])
    assert layer_tokens(captured).equals(table.tokens)
    kept = tmp_path / "kept"
    kept.mkdir()
    pl.DataFrame({"origin": [1, 5, 30]}, schema={"origin": pl.UInt32}).write_parquet(kept / "keep.parquet")
    assert layer_tokens(captured, kept)["origin"].to_list() == [1, 5, 30]


def test_what_is_active_in_rows_is_what_the_autoencoder_says(indexed: IndexedLayer, layer: Layer) -> None:
    asked = np.array([9, 3, 4, 60, 5])
    rows, features, values = indexed.active(asked)
    expected = np.zeros_like(layer.dense)
    expected[rows, features] = values
    np.testing.assert_allclose(expected[asked], layer.dense[asked], rtol=1e-5, atol=1e-6)
    assert len(rows) == np.count_nonzero(layer.dense[asked]) and set(rows) <= set(asked)
    assert [len(column) for column in indexed.active(np.array([], np.int64))] == [0, 0, 0]


def test_a_feature_is_read_with_its_tokens(indexed: IndexedLayer, layer: Layer) -> None:
    feature = indexed.feature(7)
    active = feature.activations
    np.testing.assert_allclose(active["value"].to_numpy(), layer.dense[active["index"].to_numpy(), 7], rtol=1e-5)
    assert feature.statistics["feature"] == 7 and feature.examples(quantiles=1)["value"][0] == active["value"].max()
    with pytest.raises(BadInput, match="feature 40 is out of range"):
        indexed.feature(40)


def test_associations_are_there_where_the_layer_was_ranked(
    indexed: IndexedLayer, layer: Layer, index: FeatureIndex, tmp_path: Path
) -> None:
    assert indexed.associations is None
    table = pl.DataFrame({"language": ["en"], "position_set": ["image"], "feature": [3], "auroc": [0.9]})
    table.write_parquet(tmp_path / ASSOCIATIONS)
    ranked = open_indexed(0, index.folder, layer.tokens, tmp_path).associations
    assert ranked is not None and ranked.equals(table)


def test_one_features_associations_are_its_rows_of_the_table_in_their_order(
    index: FeatureIndex, layer: Layer, tmp_path: Path
) -> None:
    features = [7, 3, 39, 3, 7, 3]
    table = pl.DataFrame({"language": list("abcdef"), "feature": pl.Series(features, dtype=pl.UInt32)})
    table.write_parquet(tmp_path / ASSOCIATIONS)
    ranked = open_indexed(0, index.folder, layer.tokens, tmp_path)
    for feature in (0, 3, 7, 39):
        found = ranked.associations_of(feature)
        assert found is not None and found.equals(table.filter(feature=feature))
    assert open_indexed(0, index.folder, layer.tokens).associations_of(3) is None


def test_rows_of_an_image_are_found_wherever_they_lie(indexed: IndexedLayer) -> None:
    tokens = indexed.tokens
    assert tokens["image_id"].rle().len() > tokens["image_id"].n_unique()  # captions lie apart from the image's rows
    for image in tokens["image_id"].unique():
        expected = tokens.filter(pl.col("image_id") == image)["index"].to_list()
        assert indexed.rows_of_image(image).tolist() == expected
    assert indexed.rows_of_image("none").tolist() == []


@pytest.mark.parametrize("module", ["core.features.indexed_layer", "core.activations.tokens", "core.reading.study"])
def test_reading_loads_neither_torch_nor_scipy(module: str) -> None:
    heavy = ("torch", "transformers", "scipy", "sklearn", "altair")
    words = f"import sys; import {module}; print([name for name in {heavy!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", words], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
