"""Tables of embeddings, similarities and nearest explanations, each against a plain loop."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from core.explain.tables import (
    ACTIVATION_EMBEDDINGS,
    ACTIVATION_EXAMPLE_SIMILARITY,
    EXPLANATION_EMBEDDINGS,
    EXPLANATIONS,
)
from core.explain.vector_columns import to_bytes, unit_length, vector_column, vectors_of, with_bytes
from core.explain.vectors import (
    activation_embeddings,
    example_similarity,
    explanation_embeddings,
    nearest,
    recall_at_10,
)
from core.explain.windows import windows
from core.study.catalogue import ExampleConfig
from tests.core.explain.fake_embedder import FakeEmbedder
from tests.core.explain.planted_features import CAPTION, FEATURES, IMAGE_ALONE, planted


def told(rows: list[tuple[int, str, str, str | None]]) -> pl.DataFrame:
    """Explanations: feature, explainer, language, text."""
    about = {"sae_id": "s/layer_0", "explanation_method": "quantiles", "failure": ""}
    names = ("feature_id", "explainer", "language", "text")
    records = [dict.fromkeys(EXPLANATIONS) | about | dict(zip(names, row)) for row in rows]
    return pl.DataFrame([{**row, "llm_explainer": f"org/{row['explainer']}"} for row in records], schema=EXPLANATIONS)


def made_windows(**config: int) -> pl.DataFrame:
    given = planted()
    return windows(given.index, given.tokens, given.samples, range(FEATURES), ExampleConfig(**config), "s/layer_0")


def test_explanations_with_a_text_are_embedded_and_called_after_explainer_and_language() -> None:
    rows = [(3, "words", "en", "a woman"), (3, "words", "ar", "امرأة"), (4, "words", "en", None)]
    found = explanation_embeddings(told(rows), FakeEmbedder())
    assert found.schema == EXPLANATION_EMBEDDINGS
    assert found["data_source"].to_list() == ["words", "words:ar"]
    np.testing.assert_array_equal(vectors_of(found["embedding"]), FakeEmbedder().embed(["a woman", "امرأة"]))


def test_what_the_explainer_sees_is_embedded_once_per_feature() -> None:
    shown = made_windows(per_quantile=2)
    found = activation_embeddings(shown, FakeEmbedder())
    assert found.schema == ACTIVATION_EMBEDDINGS
    assert IMAGE_ALONE in shown["feature_id"]
    assert IMAGE_ALONE not in found["feature_id"]
    for row in found.to_dicts():
        own = shown.filter(feature_id=row["feature_id"], use="explain")
        assert row["prompt_ids"] == own["prompt_id"].to_list()
        expected = FakeEmbedder().embed(["".join(words) for words in own["tokens"].to_list()])
        np.testing.assert_array_equal(np.array(row["embeddings"], np.float32), expected)
    assert found.filter(feature_id=CAPTION)["embeddings"].list.len().item() == 8


def test_pairwise_similarity_is_that_of_a_loop_over_pairs() -> None:
    embeddings = activation_embeddings(made_windows(per_quantile=3), FakeEmbedder())
    found = example_similarity(embeddings)
    assert found.schema == ACTIVATION_EXAMPLE_SIMILARITY
    assert len(set(found["num_examples_sampled"].to_list())) > 1
    for row, own in zip(found.to_dicts(), embeddings["embeddings"].to_list()):
        cosines = [np.dot(one, other) for one, other in combinations(own, 2)]
        for name in ("mean", "std", "min", "max"):
            assert row[f"{name}_pairwise_similarity"] == pytest.approx(getattr(np, name)(cosines), abs=1e-5)


def test_one_example_has_no_pairs() -> None:
    one = pl.DataFrame(
        [{"feature_id": 1, "sae_id": "s", "prompt_ids": [4], "embeddings": [[1.0, 0.0]]}], schema=ACTIVATION_EMBEDDINGS
    )
    row = example_similarity(one).row(0, named=True)
    assert row["num_examples_sampled"] == 1
    assert row["mean_pairwise_similarity"] is row["std_pairwise_similarity"] is None


def test_nearest_is_exact_and_ordered() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_length(rng.normal(size=(700, 8)).astype(np.float32))
    queries = unit_length(rng.normal(size=(601, 8)).astype(np.float32))
    rows, cosines = nearest(queries, vectors, 5)
    every = queries @ vectors.T
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :5], rtol=1e-5)
    assert nearest(queries[:2], vectors[:3], 10)[0].shape == (2, 3)
    assert nearest(queries[:2], vectors[:0], 10)[0].shape == (2, 0)


def test_bytes_keep_the_direction_and_their_recall_is_measured() -> None:
    vectors = unit_length(np.random.default_rng(0).normal(size=(500, 24)).astype(np.float32))
    small = to_bytes(vectors)
    assert small.dtype == np.int8
    assert np.abs(small).max(axis=1).tolist() == [127] * 500
    back = vectors_of(vector_column(small))
    assert (np.einsum("nd,nd->n", back, vectors) > 0.9995).all()
    by_loop = []
    for place in range(500):
        exact, coarse = (np.argsort(-(space @ space[place]), kind="stable") for space in (vectors, back))
        by_loop.append(len({*exact[exact != place][:10]} & {*coarse[coarse != place][:10]}) / 10)
    assert recall_at_10(vectors) == pytest.approx(np.mean(by_loop))
    assert 0.9 < np.mean(by_loop) < 1
    assert recall_at_10(vectors[:1]) is None
    assert recall_at_10(vectors[:3]) == 1


def test_a_zero_vector_stays_zero() -> None:
    zero = np.zeros((1, 4), np.float32)
    assert not to_bytes(zero).any()
    assert not unit_length(zero).any()


def test_tables_of_either_shape_become_bytes() -> None:
    embeddings = activation_embeddings(made_windows(per_quantile=1), FakeEmbedder())
    small = with_bytes(embeddings)
    assert small["embeddings"].dtype == pl.List(pl.List(pl.Int8))
    assert small["embeddings"].list.len().to_list() == embeddings["embeddings"].list.len().to_list()
