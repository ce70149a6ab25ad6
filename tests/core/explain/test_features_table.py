"""The main table, put together from explanations, scores, neighbours and embeddings."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.explain.features_table import features_table, semantic_similarity, ten_neighbours
from core.explain.tables import EXPLANATION_EMBEDDINGS, FEATURES, SCORES
from core.explain.vectors import explanation_embeddings
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.features.neighbours import NEIGHBOURS
from core.study.model import IndexConfig
from tests.core.explain.fake_embedder import FakeEmbedder
from tests.core.explain.test_vectors import told
from tests.core.features.planted_layer import make_layer

KINDS = {"finds": "detection", "marks": "fuzz", "close": "embedding", "pairs": "twins"}


def scored(*rows: tuple[int, str, str, str, str | None, float | None, int, str]) -> pl.DataFrame:
    """Scores: feature, explainer, scorer, example kind, language, value, examples, judge."""
    names = ("feature_id", "explainer", "scorer", "example_kind", "language", "value", "n", "judge")
    about = {"sae_id": "s/layer_0", "metric": "auroc", "n_failed": 0, "low": None, "high": None, "prompt_version": "1"}
    return pl.DataFrame([about | dict(zip(names, row)) for row in rows], schema=SCORES)


def neighbours(*rows: tuple[int, int, int, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NEIGHBOURS, orient="row").with_columns(sae_id=pl.lit("s/layer_0"))


def test_a_row_per_feature_and_explainer_with_all_that_belongs_to_it() -> None:
    explanations = told([(7, "b", "en", "seven b"), (7, "a", "en", "seven a"), (2, "a", "en", None)])
    embeddings = explanation_embeddings(explanations, FakeEmbedder())
    scores = scored(
        (7, "a", "finds", "all", None, 0.8, 20, "org/judge"),
        (7, "a", "finds", "hard", None, 0.1, 20, "org/judge"),
        (7, "a", "marks", "random", "en", 0.6, 30, "org/judge"),
        (7, "a", "marks", "random", "ar", 0.2, 10, "org/judge"),
        (7, "a", "close", "random", "en", 0.9, 5, ""),
        (7, "a", "pairs", "all", None, 1.0, 5, "org/judge"),
        (7, "b", "finds", "all", None, None, 0, "org/judge"),
    )
    near = neighbours((7, 2, 1, 0.25), (7, 1, 3, 0.5), *((7, rank, 20 + rank, 0.1) for rank in range(3, 13)))
    table = features_table(explanations, scores, KINDS, near, embeddings)
    assert table.schema == FEATURES
    assert table.select("feature_id", "llm_explainer").rows() == [(2, "org/a"), (7, "org/a"), (7, "org/b")]
    empty, one, other = table.to_dicts()
    assert (empty["explanation_text"], empty["decoder_similarity"], empty["scores"]) == (None, [], [])
    assert [pair["feature_id"] for pair in one["decoder_similarity"]] == [3, 1, *range(23, 31)]
    cosine = float(FakeEmbedder().embed(["seven a"])[0] @ FakeEmbedder().embed(["seven b"])[0])
    assert one["semantic_similarity"] == [{"explainer": "org/b", "cosine_similarity": pytest.approx(cosine, abs=1e-6)}]
    assert other["semantic_similarity"][0]["explainer"] == "org/a"
    none = {"fuzz": None, "simulation": None, "detection": None, "embedding": None}
    judged = none | {"scorer": "org/judge", "fuzz": pytest.approx(0.5), "detection": 0.8}
    without = none | {"scorer": "close", "embedding": 0.9}
    assert one["scores"] == [without, judged]
    assert other["scores"] == []


def test_another_language_is_a_row_of_its_own() -> None:
    explanations = told([(1, "a", "en", "woman"), (1, "a", "ar", "امرأة")])
    embeddings = explanation_embeddings(explanations, FakeEmbedder())
    table = features_table(explanations, scored(), KINDS, neighbours(), embeddings)
    assert table["explanation_method"].to_list() == ["quantiles", "quantiles:ar"]
    assert table["semantic_similarity"].list.len().to_list() == [1, 1]


def test_nothing_gives_an_empty_table() -> None:
    table = features_table(told([]), scored(), KINDS, neighbours(), EXPLANATION_EMBEDDINGS.to_frame())
    assert table.schema == FEATURES
    assert table.height == 0


def test_similar_explanations_are_those_of_a_loop() -> None:
    rows = [(feature, name, "en", f"{name} {feature}") for feature in range(5) for name in "abcd"]
    embeddings = explanation_embeddings(told(rows), FakeEmbedder())
    for row in semantic_similarity(embeddings).to_dicts():
        own = FakeEmbedder().embed([f"{row['source']} {row['feature_id']}"])[0]
        expected = sorted(
            (
                (float(own @ FakeEmbedder().embed([f"{name} {row['feature_id']}"])[0]), f"org/{name}")
                for name in "abcd"
                if name != row["source"]
            ),
            reverse=True,
        )
        found = [(pair["cosine_similarity"], pair["explainer"]) for pair in row["semantic_similarity"]]
        assert [name for _, name in found] == [name for _, name in expected]
        np.testing.assert_allclose([cosine for cosine, _ in found], [cosine for cosine, _ in expected], atol=1e-6)


def test_an_index_that_keeps_few_neighbours_is_extended_to_ten(tmp_path: Path) -> None:
    layer = make_layer(tmp_path / "layer")
    build_index(layer.sae, layer.table, layer.samples, IndexConfig(top_rows=6, neighbours=3), tmp_path / "few")
    few = FeatureIndex.open(tmp_path / "few").neighbours
    ten = ten_neighbours(few, lambda: layer.sae)
    assert ten.group_by("feature").len()["len"].unique().to_list() == [10]
    assert ten.filter(pl.col("rank") <= 3).equals(few)
    rows = layer.sae.W_dec.detach().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows[5]
    cosines[5] = -2
    assert ten.filter(feature=5)["neighbour"].to_list() == np.argsort(-cosines)[:10].tolist()

    def unneeded() -> None:
        raise AssertionError("the index keeps enough")

    assert ten_neighbours(ten, unneeded).equals(ten)
