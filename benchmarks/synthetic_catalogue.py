"""A synthetic layer, explanations, scores and vectors of a catalogue's reference size; nothing here is learned."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from core.explain.nested import list_column
from core.explain.tables import ACTIVATION_EMBEDDINGS, EXPLANATION_EMBEDDINGS, EXPLANATIONS, SCORES
from core.explain.vector_columns import unit_length, vector_column
from core.features.columns import SparseRows, transpose
from core.features.index import FeatureIndex
from core.features.neighbours import COACTIVATION, NEIGHBOURS

SAE = "synthetic/layer_0"
EXPLAINERS = ("a", "b", "c")
JUDGES = ("judge-1", "judge-2", "judge-3")
_INSTRUCTION, _CAPTION, _PATCHES = 6, 22, 16
_WORDS = (
    *("woman", "man", "child", "rower", "singer", "pilot", "red", "blue", "umbrella", "kite"),
    *("at", "in", "the", "beach", "park", "city", "holds", "reads", "carries"),
)


def tokens_of(samples: int) -> pl.DataFrame:
    """The rows of so many samples with a caption in two languages: 16 patches, then 28 tokens per caption."""
    rng = np.random.default_rng(0)
    names = np.array([f"{number:06d}" for number in range(samples)])
    text = _INSTRUCTION + _CAPTION
    patches = pl.DataFrame({
        "sample_id": np.repeat(names, _PATCHES),
        "language": pl.Series([None], dtype=pl.String).new_from_index(0, samples * _PATCHES),
        "segment": pl.repeat("image", samples * _PATCHES, eager=True),
        "position": np.tile(np.arange(_PATCHES), samples),
        "token": pl.repeat("<image>", samples * _PATCHES, eager=True),
    })  # fmt: skip
    spoken = [
        pl.DataFrame({
            "sample_id": np.repeat(names, text),
            "language": pl.repeat(language, samples * text, eager=True),
            "segment": np.tile(np.repeat(["prompt", "caption"], [_INSTRUCTION, _CAPTION]), samples),
            "position": np.tile(np.arange(text) + _PATCHES, samples),
            "token": np.array([f" {word}" for word in _WORDS])[rng.integers(0, len(_WORDS), samples * text)],
        })
        for language in ("en", "ar")
    ]  # fmt: skip
    return pl.concat([patches, *spoken]).with_columns(image_id="sample_id", special=pl.lit(value=False))


def samples_of(samples: int) -> pl.DataFrame:
    """Their samples, each the twin of its neighbour."""
    names = [f"{number:06d}" for number in range(samples)]
    twins = [names[number ^ 1] if (number ^ 1) < samples else None for number in range(samples)]
    return pl.DataFrame({"sample_id": names, "image_id": names, "twin_id": twins}).with_columns(
        image=pl.concat_str(pl.lit("images/"), "image_id", pl.lit(".png"))
    )


def write_index(folder: Path, features: int, rows: int, active: int) -> FeatureIndex:
    """An index in which each feature fires on about so many of the rows, at random."""
    rng = np.random.default_rng(1)
    keys = np.unique(rng.integers(0, rows, features * active) * features + np.repeat(np.arange(features), active))
    folder.mkdir(parents=True)
    with SparseRows(folder) as csr:
        counts = np.bincount(keys // features, minlength=rows)
        csr.append(counts, (keys % features).astype(np.uint32), rng.uniform(1, 9, len(keys)).astype(np.float32))
    transpose(folder, features, 1 << 16)
    own = np.repeat(np.arange(features), 10)
    ranks = np.tile(np.arange(1, 11), features)
    near = {"feature": own, "rank": ranks, "neighbour": (own + ranks * 7) % features, "cosine": 1 / (1 + ranks)}
    pl.DataFrame(near).cast(NEIGHBOURS).write_parquet(folder / "neighbours.parquet")
    beside = {"feature": own, "rank": ranks, "partner": (own + ranks * 11) % features, "both": ranks * 0 + 3}
    pl.DataFrame(beside | {"jaccard": 0.1 / ranks, "pmi": 1.0 / ranks}).cast(COACTIVATION).write_parquet(
        folder / "coactivation.parquet"
    )
    return FeatureIndex.open(folder)


def unit_vectors(count: int, dimension: int, seed: int) -> np.ndarray:
    """Random vectors of unit length."""
    return unit_length(np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32))


def explanations_of(features: int) -> pl.DataFrame:
    """An explanation per feature and explainer, in a dozen words."""
    rng = np.random.default_rng(2)
    words = np.array(_WORDS)[rng.integers(0, len(_WORDS), (features * len(EXPLAINERS), 12))]
    given = pl.DataFrame({
        "feature_id": np.repeat(np.arange(features), len(EXPLAINERS)),
        "explainer": np.tile(EXPLAINERS, features),
        "text": [" ".join(row) for row in words],
    })  # fmt: skip
    about = {"sae_id": SAE, "explanation_method": "quantiles", "language": "en", "failure": ""}
    named = given.with_columns(llm_explainer=pl.concat_str(pl.lit("synthetic/"), "explainer"), **_literals(about))
    return named.with_columns(pl.lit(None).alias(name) for name in EXPLANATIONS if name not in named.columns).select(
        *EXPLANATIONS
    ).cast(EXPLANATIONS)  # fmt: skip


def scores_of(features: int) -> pl.DataFrame:
    """Scores of each explanation by three judges: detection and fuzz, over two kinds of example."""
    key = pl.DataFrame({"feature_id": np.arange(features)})
    for name, values in (
        ("explainer", EXPLAINERS),
        ("judge", JUDGES),
        ("scorer", ("detection", "fuzz")),
        ("example_kind", ("random", "hard")),
    ):
        key = key.join(pl.DataFrame({name: list(values)}), how="cross")
    value = np.random.default_rng(3).uniform(0.4, 1, key.height)
    about = {"sae_id": SAE, "language": "en", "metric": "balanced_accuracy", "prompt_version": "1", "n_failed": 0}
    rows = key.with_columns(pl.Series("value", value), n=pl.lit(20), low=0.3, high=1.0, **_literals(about))
    return rows.select(*SCORES).cast(SCORES)


def explanation_vectors(explanations: pl.DataFrame, dimension: int) -> pl.DataFrame:
    """Random vectors of explanations."""
    rows = explanations.select("feature_id", "sae_id", "llm_explainer", data_source="explainer")
    vectors = vector_column(unit_vectors(rows.height, dimension, 4)).alias("embedding")
    return rows.with_columns(vectors).select(*EXPLANATION_EMBEDDINGS).cast(EXPLANATION_EMBEDDINGS)


def activation_vectors(features: int, each: int, dimension: int, block: int = 1024) -> Iterator[pl.DataFrame]:
    """Random vectors of so many examples of each feature, a block of features at a time."""
    for start in range(0, features, block):
        own = np.arange(start, min(start + block, features))
        counts = np.full(len(own), each)
        flat = vector_column(unit_vectors(len(own) * each, dimension, start))
        ids = np.random.default_rng(start).integers(0, 5000, len(own) * each).astype(np.uint32)
        rows = pl.DataFrame({"feature_id": own, "sae_id": pl.repeat(SAE, len(own), eager=True)}).with_columns(
            list_column(ids, counts, ACTIVATION_EMBEDDINGS["prompt_ids"]).alias("prompt_ids"),
            list_column(flat, counts, ACTIVATION_EMBEDDINGS["embeddings"]).alias("embeddings"),
        )
        yield rows.select(*ACTIVATION_EMBEDDINGS).cast(ACTIVATION_EMBEDDINGS)


def _literals(values: dict[str, object]) -> dict[str, pl.Expr]:
    return {name: pl.lit(value) for name, value in values.items()}
