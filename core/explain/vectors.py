"""The tables of embeddings: of explanations, of examples, how alike a feature's examples are, and what is nearest."""

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.explain.embedder import Embedder
from core.explain.nested import list_column
from core.explain.tables import ACTIVATION_EMBEDDINGS, ACTIVATION_EXAMPLE_SIMILARITY, EXPLANATION_EMBEDDINGS
from core.explain.vector_columns import to_bytes, unit_length, vector_column, vectors_of
from core.progress import Progress, silent

_QUERIES = 1 << 9
"""Queries that are compared with all vectors at once."""
_FEATURES = 1 << 10
"""Features whose examples are compared at once."""


def source_name(name: pl.Expr, language: pl.Expr) -> pl.Expr:
    """What is called `NAME` in English is called `NAME:ar` in Arabic."""
    return pl.when(language == "en").then(name).otherwise(pl.concat_str(name, pl.lit(":"), language))


def explanation_embeddings(explanations: pl.DataFrame, embedder: Embedder, progress: Progress = silent) -> pl.DataFrame:
    """One row per explanation that has a text, with the columns of `EXPLANATION_EMBEDDINGS`.

    `data_source` is the explainer's name, with the language behind it where that is not English.

    Args:
        explanations: with the columns of `EXPLANATIONS`.
        embedder: what embeds.
        progress: called with texts embedded.
    """
    told = explanations.filter(pl.col("text").is_not_null())
    vectors = embedder.embed(told["text"].to_list(), progress)
    rows = told.with_columns(
        vector_column(vectors).alias("embedding"),
        data_source=source_name(pl.col("explainer"), pl.col("language")),
    )
    return rows.select(*EXPLANATION_EMBEDDINGS).cast(EXPLANATION_EMBEDDINGS)


def activation_embeddings(windows: pl.DataFrame, embedder: Embedder, progress: Progress = silent) -> pl.DataFrame:
    """One row per feature with the embeddings of what its explainers see, with the columns of `ACTIVATION_EMBEDDINGS`.

    A window without tokens, of a feature that fires in images alone, is not embedded; a feature without others has no
    row.

    Args:
        windows: with the columns of `WINDOWS`; those of use `explain` and kind `quantile` are embedded.
        embedder: what embeds.
        progress: called with texts embedded.
    """
    wanted = (pl.col("use") == "explain") & (pl.col("kind") == "quantile") & (pl.col("tokens").list.len() > 0)
    shown = windows.filter(wanted).sort("sae_id", "feature_id", maintain_order=True)
    vectors = embedder.embed(shown["tokens"].list.join("").to_list(), progress)
    rows = shown.group_by("sae_id", "feature_id", maintain_order=True).agg(prompt_ids="prompt_id")
    nested = list_column(vector_column(vectors), rows["prompt_ids"].list.len().to_numpy(), pl.List(pl.List(pl.Float32)))
    return rows.with_columns(nested.alias("embeddings")).select(*ACTIVATION_EMBEDDINGS).cast(ACTIVATION_EMBEDDINGS)


def example_similarity(embeddings: pl.DataFrame) -> pl.DataFrame:
    """How much each feature's examples resemble each other: cosines of all pairs, with the columns of
    `ACTIVATION_EXAMPLE_SIMILARITY`; null where there is one example. The deviation is over the pairs (ddof 0).

    Args:
        embeddings: with the columns of `ACTIVATION_EMBEDDINGS`.
    """
    counts = embeddings["embeddings"].list.len().to_numpy()
    measured = np.full((len(counts), 4), np.nan, np.float32)
    for count in np.unique(counts[counts > 1]).tolist():
        places = np.flatnonzero(counts == count)
        for start in range(0, len(places), _FEATURES):
            own = places[start : start + _FEATURES]
            flat = embeddings["embeddings"][own].explode(empty_as_null=False)
            measured[own] = _pairs(unit_length(vectors_of(flat)).reshape(len(own), count, -1))
    names = ("mean", "std", "min", "max")
    columns = {f"{name}_pairwise_similarity": measured[:, place] for place, name in enumerate(names)}
    rows = embeddings.select("feature_id", "sae_id").with_columns(pl.Series("num_examples_sampled", counts))
    found = rows.with_columns(pl.DataFrame(columns, nan_to_null=True).get_columns())
    return found.select(*ACTIVATION_EXAMPLE_SIMILARITY).cast(ACTIVATION_EXAMPLE_SIMILARITY)


def _pairs(vectors: Float[np.ndarray, "f n d"]) -> Float[np.ndarray, "f 4"]:
    """Mean, deviation, minimum and maximum over the pairs of each feature's vectors."""
    upper = np.triu_indices(vectors.shape[1], 1)
    cosines = np.matmul(vectors, vectors.transpose(0, 2, 1))[:, upper[0], upper[1]]
    return np.stack([cosines.mean(1), cosines.std(1), cosines.min(1), cosines.max(1)], axis=1)


def nearest(
    queries: Float[np.ndarray, "q d"], vectors: Float[np.ndarray, "n d"], most: int
) -> tuple[Int[np.ndarray, "q m"], Float[np.ndarray, "q m"]]:
    """The vectors of highest cosine to each query, the nearest first, and the cosines. Exact; both of unit length."""
    most = min(most, len(vectors))
    rows = np.zeros((len(queries), most), np.int64)
    cosines = np.zeros((len(queries), most), np.float32)
    for start in range(0, len(queries) if most else 0, _QUERIES):
        found = queries[start : start + _QUERIES] @ vectors.T
        top = np.argpartition(-found, most - 1, axis=1)[:, :most]
        order = np.take_along_axis(top, np.argsort(-np.take_along_axis(found, top, 1), axis=1, kind="stable"), 1)
        rows[start : start + _QUERIES], cosines[start : start + _QUERIES] = order, np.take_along_axis(found, order, 1)
    return rows, cosines


def recall_at_10(vectors: Float[np.ndarray, "n d"], queries: int = 1000, seed: int = 0) -> float | None:
    """Of the ten nearest others of drawn vectors by Float32, the share that bytes find too; null of one vector."""
    if len(vectors) < 2:
        return None
    drawn = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:queries])
    exact = _nearest_others(unit_length(vectors), drawn)
    coarse = _nearest_others(unit_length(to_bytes(vectors).astype(np.float32)), drawn)
    return float(np.mean([len(np.intersect1d(one, other)) / len(one) for one, other in zip(exact, coarse)]))


def _nearest_others(vectors: Float[np.ndarray, "n d"], drawn: Int[np.ndarray, " q"]) -> list[Int[np.ndarray, " m"]]:
    rows, _ = nearest(vectors[drawn], vectors, 11)
    return [row[row != own][:10] for row, own in zip(rows, drawn.tolist())]
