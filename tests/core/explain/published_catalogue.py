"""A small whole catalogue, as it is published."""

from pathlib import Path

import polars as pl

from core.explain.examples import activation_examples
from core.explain.features_table import features_table
from core.explain.published import write_tables
from core.explain.table_file import Card
from core.explain.vector_columns import with_bytes
from core.explain.vectors import activation_embeddings, example_similarity, explanation_embeddings
from tests.core.explain.fake_embedder import FakeEmbedder
from tests.core.explain.planted_features import FEATURES, planted
from tests.core.explain.test_features_table import KINDS, neighbours, scored
from tests.core.explain.test_vectors import made_windows, told

CARD = Card("fake", "1", FakeEmbedder.dimension)
SMALL = Card("fake", "1", FakeEmbedder.dimension, int8=True, recall_at_10=0.75)


def tables() -> dict[str, pl.DataFrame]:
    given, embedder = planted(), FakeEmbedder()
    rows = [(feature, name, "en", f"{name} says {feature}") for feature in range(FEATURES) for name in ("a", "b")]
    explanations = told(rows)
    embeddings = explanation_embeddings(explanations, embedder)
    shown = activation_embeddings(made_windows(per_quantile=2), embedder)
    scores = scored(*((f, "a", "finds", "all", None, 0.5 + f / 100, 20, "org/judge") for f in range(FEATURES)))
    near = neighbours(*((f, 1, (f + 1) % FEATURES, 0.5) for f in range(FEATURES)))
    return {
        "features": features_table(explanations, scores, KINDS, near, embeddings),
        "activation_examples": pl.concat(
            activation_examples(given.index, given.tokens, given.samples, None, "s/layer_0")
        ),
        "explanation_embeddings": embeddings,
        "activation_embeddings": shown,
        "activation_example_similarity": example_similarity(shown),
        "scores": scores,
        "explanation_embeddings.small": with_bytes(embeddings),
        "activation_embeddings.small": with_bytes(shown),
    }


def cards() -> dict[str, Card]:
    names = ("explanation_embeddings", "activation_embeddings")
    return dict.fromkeys(names, CARD) | {f"{name}.small": SMALL for name in names}


def publish(folder: Path) -> dict[str, pl.DataFrame]:
    whole = tables()
    write_tables(folder, whole, cards())
    return whole
