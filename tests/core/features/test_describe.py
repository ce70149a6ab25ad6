"""What a step leaves of all features of a layer, beside its index."""

from pathlib import Path

import polars as pl

from core.features.describe import describe_features
from core.features.histograms import HISTOGRAMS
from core.features.index import FeatureIndex
from core.features.influence import PROMOTED
from core.features.token_idf import caption_idf
from core.lm.loading import load_model
from tests.core.features.planted_layer import Layer
from tests.core.sae.dictionary import random_sae


def test_histograms_leave_special_rows_out(index: FeatureIndex, layer: Layer, tmp_path: Path) -> None:
    told = describe_features(index.folder, layer.table, None, tmp_path)
    found = pl.read_parquet(tmp_path / "histograms.parquet")
    assert found.schema == HISTOGRAMS
    assert found["counts"].list.sum().to_list() == index.features["count"].to_list()
    assert found["max"].to_list() == index.features["max"].to_list()
    idf = pl.read_parquet(tmp_path / "idf.parquet")
    assert idf.equals(caption_idf(layer.tokens))
    assert told == {"features_firing": float((index.features["count"] > 0).sum()), "tokens": float(idf.height)}
    assert not (tmp_path / "influences.parquet").exists()


def test_with_a_head_every_feature_has_its_tokens(
    index: FeatureIndex, layer: Layer, tiny_text_gemma: Path, tmp_path: Path
) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    seen: list[int] = []
    head = random_sae(loaded.shape.d_model, 40, 5), loaded
    describe_features(index.folder, layer.table, head, tmp_path, lambda done, total, metrics=None: seen.append(done))
    found = pl.read_parquet(tmp_path / "influences.parquet")
    assert found.schema == PROMOTED and found["feature"].n_unique() == 40 and seen == [40]
    assert found.filter(rank=1).height == 40 * 2
