"""The tables of a catalogue: the six that are published, and those that pass between its steps."""

import polars as pl

EXPLAINED, AGGREGATED = "explanations.parquet", "aggregates.parquet"
"""Files beside the published tables: what explainers said, with prompts and raw answers; and scores over features."""

_PAIR = pl.Struct({"token_position": pl.UInt32(), "activation_value": pl.Float32()})
_SCORES = pl.Struct(
    {
        "scorer": pl.String(),
        "fuzz": pl.Float64(),
        "simulation": pl.Float64(),
        "detection": pl.Float64(),
        "embedding": pl.Float64(),
    }
)

ACTIVATION_EXAMPLES = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "prompt_id": pl.UInt32(),
        "prompt_tokens": pl.List(pl.String()),
        "num_activations": pl.UInt32(),
        "max_activation": pl.Float32(),
        "activation_pairs": pl.List(_PAIR),
        "language": pl.Categorical(),
        "sample_id": pl.String(),
        "image": pl.String(),
        "map_cells": pl.List(pl.Float32()),
    }
)
"""One row per feature and prompt in which it fires. A prompt is one caption of one sample with its image.
`num_activations` counts tokens, as `activation_pairs` lists them; `max_activation` is the strongest of tokens and image
patches."""

EXPLANATION_EMBEDDINGS = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "data_source": pl.Categorical(),
        "llm_explainer": pl.Categorical(),
        "embedding": pl.List(pl.Float32()),
    }
)
"""One row per explanation that has a text. `data_source` is the explainer's name, with the language behind it where it
is not English (`words:ar`)."""

FEATURES = pl.Schema(
    {
        "feature_id": pl.Int64(),
        "sae_id": pl.Categorical(),
        "explanation_method": pl.Categorical(),
        "llm_explainer": pl.Categorical(),
        "explanation_text": pl.String(),
        "decoder_similarity": pl.List(pl.Struct({"feature_id": pl.UInt32(), "cosine_similarity": pl.Float32()})),
        "semantic_similarity": pl.List(pl.Struct({"explainer": pl.Categorical(), "cosine_similarity": pl.Float32()})),
        "scores": pl.List(_SCORES),
    }
)
"""One row per feature, explainer and language: the main table. `explanation_method` has the language behind it where it
is not English; `scores` has one entry per judge, null for the kinds of scorer that it did not run."""

ACTIVATION_EMBEDDINGS = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "prompt_ids": pl.List(pl.UInt32()),
        "embeddings": pl.List(pl.List(pl.Float32())),
    }
)
"""One row per feature: the embeddings of about 20 of its examples."""

ACTIVATION_EXAMPLE_SIMILARITY = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "num_examples_sampled": pl.UInt32(),
        "mean_pairwise_similarity": pl.Float32(),
        "std_pairwise_similarity": pl.Float32(),
        "min_pairwise_similarity": pl.Float32(),
        "max_pairwise_similarity": pl.Float32(),
    }
)
"""One row per feature: how much its examples resemble each other, as cosines of their embeddings."""

SCORES = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "explainer": pl.Categorical(),
        "scorer": pl.Categorical(),
        "example_kind": pl.Categorical(),
        "language": pl.Categorical(),
        "metric": pl.Categorical(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "n": pl.UInt32(),
        "n_failed": pl.UInt32(),
        "judge": pl.String(),
        "prompt_version": pl.String(),
    }
)
"""One row per explanation (feature × explainer, `NAME:ar` where it explains in Arabic) × scorer × kind of example ×
language of the examples. `value` is the scorer's `metric` (balanced_accuracy, auroc, correlation, share) with its
interval over images; null where it is not defined. `n` examples were judged; on `n_failed` more the answer could not be
read, and they count nowhere else. Kind and language `all` hold every example."""

WINDOWS = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "use": pl.Enum(["explain", "score"]),
        "kind": pl.Enum(["quantile", "random", "hard"]),
        "quantile": pl.UInt8(),
        "prompt_id": pl.UInt32(),
        "sample_id": pl.String(),
        "image": pl.String(),
        "language": pl.String(),
        "tokens": pl.List(pl.String()),
        "values": pl.List(pl.Float32()),
        "map_cells": pl.List(pl.Float32()),
    }
)
"""The examples that explainers see and scorers use, one row each, in the order of feature, use, kind, quantile (4 the
strongest comes first; null where the feature is silent) and strength. `tokens` are the window's, `values` the feature's
activation on each, 0 where it is silent; both are empty, and `language` is null, of a feature that is shown in images
alone. `map_cells` is the activation on each image patch, row by row, null without an image."""

EXPLANATIONS = pl.Schema(
    {
        "feature_id": pl.UInt32(),
        "sae_id": pl.Categorical(),
        "explainer": pl.String(),
        "explanation_method": pl.String(),
        "llm_explainer": pl.String(),
        "language": pl.String(),
        "text": pl.String(),
        "prompt_version": pl.String(),
        "prompt": pl.String(),
        "raw_answer": pl.String(),
        "failure": pl.String(),
        "prompt_tokens": pl.UInt32(),
        "completion_tokens": pl.UInt32(),
    }
)
"""What explainers said, one row per feature, explainer and language. `text` is null and `failure` says why where there
is no explanation; `prompt` is what was asked, without its pictures, and `raw_answer` what came."""
