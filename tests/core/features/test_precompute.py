"""The tables of a store made elsewhere, against what is counted by hand and what a study's index has."""

import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.features.activation_store import ActivationStore
from core.features.converting import convert_store
from core.features.histograms import HALVINGS, HISTOGRAMS, log_histograms
from core.features.influence import INFLUENCES, influences, promoted_tokens
from core.features.neighbours import COACTIVATION, NEIGHBOURS
from core.features.open_store import open_store
from core.features.precompute import Weights, precompute
from core.features.statistics import FEATURES, Occurrences
from core.features.token_idf import TOKEN_IDF, caption_idf, row_idf
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.study.model import IndexConfig
from tests.core.features.older_batches import planted, write_batches
from tests.core.features.planted_layer import Layer
from tests.core.sae.dictionary import random_sae

DENSE = planted()
CONFIG = IndexConfig(top_rows=3, neighbours=2)


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    convert_store(open_store(write_batches(tmp_path / "old", DENSE)), tmp_path / "store", "csc")
    return open_store(tmp_path / "store")


@pytest.fixture(scope="module")
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


def test_statistics_are_those_of_the_activations(store: ActivationStore) -> None:
    told = precompute(store, Weights(), CONFIG)
    assert told["features.parquet"] == "6 rows" and told["influences.parquet"] == "left out: needs --sae and --model"
    found = open_store(store.place).statistics
    assert found is not None and found.schema == FEATURES
    for row in found.iter_rows(named=True):
        column = DENSE[:, row["feature"]]
        active = column[column > 0]
        assert row["count"] == len(active) and row["density"] == pytest.approx(len(active) / 19)
        assert row["idf"] == pytest.approx(math.log(20 / (1 + len(active))) + 1)
        assert row["top_rows"] == np.argsort(-column, kind="stable")[: min(3, len(active))].tolist()
        assert row["q50"] == (pytest.approx(np.median(active)) if len(active) else None)
    pairs = pl.read_parquet(store.place / "coactivation.parquet")
    assert pairs.schema == COACTIVATION
    both = ((DENSE[:, 0] > 0) & (DENSE[:, 4] > 0)).sum()
    assert pairs.filter(feature=0, partner=4)["both"].to_list() == [both]


def test_tokens_are_weighed_by_the_rows_they_stand_in(store: ActivationStore) -> None:
    precompute(store, Weights(), CONFIG)
    found = pl.read_parquet(store.place / "idf.parquet")
    assert found.schema == TOKEN_IDF
    assert found["token_id"].to_list() == [0, 1, 2, 7] and found["samples"].to_list() == [7, 6, 6, 19]
    assert found["idf"].to_list() == pytest.approx([math.log(20 / (1 + n)) + 1 for n in (7, 6, 6, 19)])


def test_rows_without_tokens_have_no_idf(store: ActivationStore) -> None:
    for columns in ({"a": range(19)}, {"tokens": ["x"] * 19}, {"token_id": ["x"] * 19}):
        assert row_idf(pl.DataFrame(columns)) is None
    scalar = row_idf(pl.DataFrame({"token_id": [4, 4, 5, None]}))
    assert scalar is not None and scalar["samples"].to_list() == [2, 1]
    assert scalar["idf"][1] == pytest.approx(math.log(5 / 2) + 1)
    (store.place / "rows.parquet").unlink()
    told = precompute(open_store(store.place), Weights(), CONFIG)
    assert told["idf.parquet"] == "left out: nothing says which tokens the rows hold"


def test_a_caption_s_tokens_are_counted_once_a_sample(layer: Layer) -> None:
    found = caption_idf(layer.tokens)
    captions = layer.tokens.filter(segment="caption", special=False)
    (park,) = found.filter(token="park").iter_rows(named=True)
    samples = captions.filter(token="park")["sample_id"].n_unique()
    assert park["samples"] == samples == 12 and park["rows"] == captions.filter(token="park").height
    assert park["idf"] == pytest.approx(1)
    woman = found.filter(token="woman")["idf"][0]
    assert woman == pytest.approx(math.log(13 / 7) + 1)


def test_histograms_count_by_halvings_of_the_maximum() -> None:
    values = np.array([8, 4, 3.999, 2, 1e-9, 1, 5], np.float32)
    found = log_histograms(Occurrences(np.array([0, 7, 7]), np.arange(7), values), np.ones(7, bool))
    assert found.schema == HISTOGRAMS and found["max"].to_list() == [8, None]
    assert found["counts"][0].to_list() == [1, *[0] * (HALVINGS - 4), 1, 2, 3]
    assert found["counts"][1].to_list() == [0] * HALVINGS
    fewer = log_histograms(Occurrences(np.array([0, 7, 7]), np.arange(7), values), np.arange(7) > 0)
    assert fewer["max"][0] == 5 and fewer["counts"][0].to_list()[-2:] == [1, 3]


def test_influences_are_the_promoted_tokens_of_every_feature(store: ActivationStore, loaded: LoadedModel) -> None:
    sae = random_sae(loaded.shape.d_model, 6, 2)
    precompute(store, Weights(sae, loaded), CONFIG)
    found = pl.read_parquet(store.place / "influences.parquet")
    n = min(INFLUENCES, len(loaded.unembedding))
    assert found.equals(promoted_tokens(sae, loaded, range(6), INFLUENCES)) and found.height == 6 * 2 * n
    assert pl.read_parquet(store.place / "neighbours.parquet").schema == NEIGHBOURS


def test_influences_are_the_same_however_many_features_are_taken_at_once(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sae = random_sae(loaded.shape.d_model, 7, 2)
    whole = influences(sae, loaded)
    monkeypatch.setattr("core.features.influence._FEATURES_AT_ONCE", 3)
    parts = influences(sae, loaded)
    assert parts.select("feature", "direction", "rank").equals(whole.select("feature", "direction", "rank"))
    np.testing.assert_allclose(parts["score"], whole["score"], rtol=1e-5, atol=1e-6)


def test_tables_that_are_there_stay_unless_they_are_asked_for_again(store: ActivationStore) -> None:
    (store.place / "features.parquet").write_bytes(b"mine")
    assert precompute(store, Weights(), CONFIG)["features.parquet"] == "is there already"
    assert (store.place / "features.parquet").read_bytes() == b"mine"
    assert precompute(store, Weights(), CONFIG, again=True)["features.parquet"] == "6 rows"


def test_what_does_not_fit_is_refused(store: ActivationStore, loaded: LoadedModel, tmp_path: Path) -> None:
    def told(other: ActivationStore, weights: Weights) -> str:
        with pytest.raises(BadInput) as raised:
            precompute(other, weights, CONFIG)
        return str(raised.value)

    assert told(store, Weights(random_sae(4, 7, 2))).startswith("--sae: has 7 features, and csc in ")
    narrow = Weights(random_sae(loaded.shape.d_model + 1, 6, 2), loaded)
    assert told(store, narrow).startswith(f"--model: reads {loaded.shape.d_model} numbers, and --sae writes ")
    batches = open_store(tmp_path / "old")
    assert f"saeflow store convert {tmp_path / 'old'} NEW --to csc" in told(batches, Weights())
    shutil.copytree(store.place, tmp_path / "artefact")
    (tmp_path / "artefact" / "manifest.json").write_text("{}")
    assert "is an artefact of a study" in told(open_store(tmp_path / "artefact"), Weights())
    assert not list(store.place.glob("features.parquet"))
