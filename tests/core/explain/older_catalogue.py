"""A folder as older pipelines leave it: raw results of three sources, summaries, similarities, and Parquet tables."""

import json
from pathlib import Path
from typing import Any

import polars as pl

SAE = "google/gemma-scope-9b-pt-res/layers.30"
SOURCES = ("llama_e-llama_s", "gwen_e-llama_s")
FEATURES = (0, 12, 877)


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def leave_raw(folder: Path) -> None:
    """Explanations and raw score files of each source, with the run's configuration."""
    for number, source in enumerate(SOURCES):
        place = folder / "raw" / source
        config = {"sparse_model": "google/gemma-scope-9b-pt-res", "hookpoints": ["layers.30"]}
        put(place / "run_config.json", config | {"explainer_model": f"org/explainer-{number}"})
        for feature in FEATURES:
            text = f"{source} on {feature}"
            told: Any = {0: text, 12: json.dumps(text), 877: {"explanation": text}}[feature]
            put(place / "explanations" / f"layers.30_latent{feature}.txt", told)
            for kind, answers in raw_answers(feature).items():
                put(place / "scores" / kind / f"layers.30_latent{feature}.txt", answers)
    put(folder / "raw" / SOURCES[0] / "explanations" / "layers.30_latent5.txt", "")
    put(folder / "raw" / SOURCES[0] / "explanations" / "notes.md", "not an explanation")


def raw_answers(feature: int) -> dict[str, list[dict[str, Any]]]:
    """Single answers, some of which failed."""
    right = [{"correct": True}, {"correct": False}, {"correct": True}, {"correct": None}, {}]
    return {
        "fuzz": right[: 3 if feature else 5],
        "detection": [{"correct": False, "activating": True}],
        "simulation": [{"ev_correlation_score": 0.5}, {"ev_correlation_score": "nan"}, {"ev_correlation_score": 0.1}],
        "embedding": [
            {"similarity": 0.9, "distance": 1},
            {"similarity": 0.4, "distance": 3},
            {"similarity": 0.5, "distance": -1},
            {"similarity": 0.1, "distance": -1},
            {"similarity": None, "distance": -1},
        ],
    }


def leave_summary(folder: Path, source: str = "llama_e-openai_s") -> Path:
    kinds = {kind: {"average_score": value, "success_count": 9, "failure_count": 1, "variance": None}
             for kind, value in (("fuzz", 0.75), ("detection", 0.5))}  # fmt: skip
    empty = {"average_score": None, "success_count": 0, "failure_count": 0, "total_examples": 0, "variance": None}
    about = {"data_source": source, "sae_id": SAE, "llm_scorer": "openai/gpt-oss-20b", "config_used": {}}
    scores = {str(feature): {**kinds, "simulation": empty} for feature in FEATURES}
    return put(folder / "scores" / source / "scores.json", {"metadata": about, "latent_scores": scores})


def leave_similarities(folder: Path) -> Path:
    near = [{"feature_id": 100 + n, "cosine_similarity": 0.1 + n / 20, "rank": 12 - n} for n in range(12)]
    mappings = [{"source_feature_id": feature, "top_10_neighbors": near} for feature in FEATURES]
    named = "google--gemma-scope-9b-pt-res--layer_30--width_16k"
    return put(folder / "feature_similarity" / named / "feature_similarities.json", {"feature_mappings": mappings})


def leave_v1(folder: Path) -> Path:
    """The flat main table of v1: a row per judge, averages of similarities, a simulation that was never run."""
    rows = [
        {"feature_id": feature, "sae_id": SAE, "explanation_method": "quantiles", "llm_explainer": explainer}
        | {"llm_scorer": judge, "explanation_text": f"{explainer} on {feature}", "feature_splitting": 0.3}
        | {"semsim_mean": 0.5 if feature else None, "semsim_max": 0.75 if feature else None}
        | {"score_fuzz": 0.5, "score_simulation": None, "score_detection": 0.25, "score_embedding": 0.9}
        for feature in FEATURES
        for explainer in ("A", "B")
        for judge in ("x", "y")
    ]
    frame = pl.DataFrame(rows).cast({"score_fuzz": pl.Float32, "feature_id": pl.Int32})
    assert frame["score_simulation"].dtype == pl.Null
    (folder / "master").mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "master" / "feature_analysis.parquet")
    return folder / "master" / "feature_analysis.parquet"


def leave_v2(folder: Path) -> Path:
    """The nested main table of v2 with further columns, Null simulation and Float32 scores."""
    row = {"feature_id": 12, "sae_id": SAE, "explanation_method": "quantiles", "llm_explainer": "A"}
    nested = {
        "explanation_text": "text",
        "decoder_similarity": [{"feature_id": 3, "cosine_similarity": 0.5}],
        "decoder_similarity_merge_threshold": 0.4,
        "semantic_similarity": [{"explainer": "B", "cosine_similarity": 0.25}],
        "scores": [{"scorer": "x", "fuzz": 0.5, "simulation": None, "detection": 0.75, "embedding": 0.25}],
    }
    frame = pl.DataFrame([row | nested])
    (folder / "master").mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "master" / "features.parquet")
    return folder / "master" / "features.parquet"
