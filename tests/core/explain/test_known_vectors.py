"""Texts that are embedded once for all explainers: the same scores, and no embedder where they are compared."""

import numpy as np
import polars as pl
import pytest

from core.explain.known_vectors import KnownVectors, embedded_texts, with_explanations
from core.explain.scorers import Judging, score
from core.explain.table_file import Card
from core.explain.vectors import explanation_embeddings
from core.study.catalogue import Scorer
from tests.core.explain.fake_embedder import FakeEmbedder
from tests.core.explain.planted_catalogue import Planted, explanations

CARD = Card("fake", "1", FakeEmbedder.dimension)


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted(scenes=30)


@pytest.mark.parametrize("kind", ["embedding", "twins"])
def test_scores_are_those_of_an_embedder_that_is_asked(world: Planted, kind: str) -> None:
    chosen = world.features[:4]
    said = explanations(chosen, [one.oracle for one in chosen], "oracle")
    said = said.with_columns(text=pl.when(pl.col("feature_id") == chosen[1].number).then(None).otherwise("text"))
    embedder, scorer = FakeEmbedder(), Scorer(name=kind, kind=kind)  # type: ignore[arg-type]
    texts = embedded_texts(world.windows, world.about, embedder)
    known = KnownVectors(CARD, with_explanations(texts, said, explanation_embeddings(said, embedder)))
    own = score(said, world.windows, Judging(embedder=embedder), world.about, scorer)
    shared = score(said, world.windows, Judging(embedder=known), world.about, scorer)
    assert own.height and own["value"].count() and shared.equals(own)


def test_a_vector_is_that_of_its_text(world: Planted) -> None:
    texts = embedded_texts(world.windows, world.about, FakeEmbedder())
    assert texts["text"].n_unique() == texts.height > 20
    known, drawn = KnownVectors(CARD, texts), [*texts["text"][5:9], texts["text"][0]]
    assert np.array_equal(known.embed(drawn), FakeEmbedder().embed(drawn))
    with pytest.raises(KeyError):
        known.embed(["never seen"])


def test_without_texts_there_are_no_vectors(world: Planted) -> None:
    none = embedded_texts(world.windows.clear(), world.about.__class__("s", (), pl.DataFrame()), FakeEmbedder())
    assert none.height == 0 and KnownVectors(CARD, none).embed([]).shape == (0, FakeEmbedder.dimension)
