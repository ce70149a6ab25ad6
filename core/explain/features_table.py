"""The main table of a catalogue: one row per feature and explainer, with what is similar to it and how it scores."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from core.explain.tables import FEATURES
from core.explain.vector_columns import unit_length, vectors_of
from core.explain.vectors import source_name
from core.features.neighbours import NEIGHBOURS, decoder_neighbours
from core.sae.architectures import SparseAutoencoder

TOP = 10
"""Decoder neighbours of a feature."""
KINDS = ("fuzz", "simulation", "detection", "embedding")
"""The kinds of scorer that the main table has a column for."""
_ROW = ["feature_id", "sae_id", "source"]


def ten_neighbours(neighbours: pl.DataFrame, open_sae: Callable[[], SparseAutoencoder]) -> pl.DataFrame:
    """The ten features of most similar decoders, with the columns of `NEIGHBOURS`.

    Args:
        neighbours: those of a feature index, which may keep fewer.
        open_sae: the index' SAE, which is opened where the index keeps fewer.
    """
    features = neighbours["feature"].n_unique()
    kept = int(neighbours["rank"].max() or 0)  # type: ignore[arg-type]
    if kept >= min(TOP, max(features - 1, 0)):
        return neighbours.filter(pl.col("rank") <= TOP).cast(NEIGHBOURS)
    return decoder_neighbours(open_sae(), TOP)


def features_table(
    explanations: pl.DataFrame,
    scores: pl.DataFrame,
    kinds: Mapping[str, str],
    neighbours: pl.DataFrame,
    embeddings: pl.DataFrame,
) -> pl.DataFrame:
    """One row per feature, explainer and language, with the columns of `FEATURES`, by SAE, feature and explainer.

    Where the language is not English, `explanation_method` has it behind it. `semantic_similarity` compares an
    explanation with the others of its feature. `scores` has one entry per judge, with null for the kinds of scorer that
    it did not run.

    Args:
        explanations: with the columns of `EXPLANATIONS`.
        scores: with the columns of `SCORES`; the rows over all kinds of example and languages count where there are
            such, else the mean weighted by examples.
        kinds: the kind of each scorer by its name.
        neighbours: `NEIGHBOURS` with `sae_id`.
        embeddings: with the columns of `EXPLANATION_EMBEDDINGS`.
    """
    name = source_name(pl.col("explainer"), pl.col("language"))
    rows = explanations.select(
        pl.col("feature_id"),
        pl.col("sae_id").cast(pl.String),
        name.alias("source"),
        source_name(pl.col("explanation_method"), pl.col("language")).alias("explanation_method"),
        "llm_explainer",
        pl.col("text").alias("explanation_text"),
    )
    joined = (
        rows.join(_decoder_similarity(neighbours), on=["feature_id", "sae_id"], how="left")
        .join(semantic_similarity(embeddings), on=_ROW, how="left")
        .join(_nested_scores(scores, kinds), on=_ROW, how="left")
    )
    lists = ("decoder_similarity", "semantic_similarity", "scores")
    filled = joined.with_columns(pl.col(column).fill_null(pl.lit([], joined[column].dtype)) for column in lists)
    return filled.sort("sae_id", "feature_id", "source").select(*FEATURES).cast(FEATURES)


def semantic_similarity(embeddings: pl.DataFrame) -> pl.DataFrame:
    """The cosine of each explanation to the others of its feature, most similar first: feature_id, sae_id, source,
    semantic_similarity.

    Args:
        embeddings: with the columns of `EXPLANATION_EMBEDDINGS`.
    """
    vectors = unit_length(vectors_of(embeddings["embedding"]))
    rows = embeddings.select(
        "feature_id",
        pl.col("sae_id").cast(pl.String),
        pl.col("data_source").cast(pl.String).alias("source"),
        pl.col("llm_explainer").cast(pl.String).alias("explainer"),
        row=pl.int_range(pl.len()),
    )
    pairs = rows.join(rows, on=["feature_id", "sae_id"], suffix="_other").filter(pl.col("row") != pl.col("row_other"))
    cosines = np.einsum("nd,nd->n", vectors[pairs["row"]], vectors[pairs["row_other"]])
    told = pairs.with_columns(pl.Series("cosine_similarity", cosines.astype(np.float32)))
    nested = pl.struct(pl.col("explainer_other").alias("explainer"), "cosine_similarity")
    ordered = told.sort("cosine_similarity", descending=True, maintain_order=True)
    return ordered.group_by(_ROW, maintain_order=True).agg(semantic_similarity=nested)


def _decoder_similarity(neighbours: pl.DataFrame) -> pl.DataFrame:
    nested = pl.struct(pl.col("neighbour").alias("feature_id"), pl.col("cosine").alias("cosine_similarity"))
    nearest = neighbours.filter(pl.col("rank") <= TOP).sort("rank", maintain_order=True)
    lists = nearest.group_by("feature", pl.col("sae_id").cast(pl.String)).agg(decoder_similarity=nested)
    return lists.rename({"feature": "feature_id"}).cast({"feature_id": pl.UInt32})


def _nested_scores(scores: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """The scores of each explanation: one entry per judge, in the order of their names."""
    scorer = pl.col("scorer").cast(pl.String)
    judge = pl.when(pl.col("judge").fill_null("") != "").then("judge").otherwise(scorer)
    over_all = pl.col("example_kind").cast(pl.String) == "all"
    rows = scores.select(
        "feature_id",
        pl.col("sae_id").cast(pl.String),
        pl.col("explainer").cast(pl.String).alias("source"),
        judge.alias("judge"),
        scorer.replace_strict(dict(kinds), default=None, return_dtype=pl.String).alias("kind"),
        "value",
        pl.col("n").cast(pl.Float64),
        over_all=over_all & (pl.col("language").cast(pl.String).fill_null("all") == "all"),
    ).filter(pl.col("kind").is_in(KINDS), pl.col("value").is_not_null())
    key = [*_ROW, "judge", "kind"]
    counted = rows.filter(pl.col("over_all") | ~pl.col("over_all").any().over(key))
    weighted = (pl.col("value") * pl.col("n")).sum() / pl.col("n").sum()
    mean = pl.when(pl.col("n").sum() > 0).then(weighted).otherwise(pl.col("value").mean())
    each = counted.group_by(key).agg(value=mean)
    wide = each.group_by(*_ROW, "judge").agg(
        pl.col("value").filter(pl.col("kind") == kind).first().alias(kind) for kind in KINDS
    )
    entry = pl.struct(pl.col("judge").alias("scorer"), *KINDS)
    return wide.sort("judge").group_by(_ROW, maintain_order=True).agg(scores=entry)
