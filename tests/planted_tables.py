"""A feature catalogue by hand: explanations, scores and vectors, published as a run of a catalogue publishes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl

from core.explain.aggregates import aggregates
from core.explain.findings import estimates
from core.explain.published import write_tables
from core.explain.table_file import Card
from core.explain.tables import ACTIVATION_EXAMPLES, EXPLANATION_EMBEDDINGS, EXPLANATIONS, SCORES
from core.explain.vector_columns import vector_column
from core.store.artifacts import MANIFEST, Artifact
from core.store.workspace import Workspace

CARD = Card("planted/embedder", "1", 4)
"""An embedder that is on no machine."""
HOSTILE = '<script>alert(1)</script> "quoted" & more'
PROMPT = "What do these examples have in common?\n\n 1. a >>woman<< sings"


@dataclass(frozen=True)
class Said:
    """An explanation: its text, or why there is none; `score` is what the scorers find of it."""

    explainer: str
    text: str | None
    language: str = "en"
    failure: str = ""
    score: float = 0.7
    failed: int = 0


FEATURES: Mapping[int, Sequence[Said]] = {
    3: (
        Said("words", "words around: woman, singer", score=0.55),
        Said("llama", "a woman is named", score=0.9, failed=2),
        Said("llama", "ذكر امرأة", "ar", score=0.8),
    ),
    4: (Said("words", "words around: red, car", score=0.52), Said("llama", HOSTILE, score=0.4)),
    7: (
        Said("words", "words around: beach", score=0.6),
        Said("llama", None, failure="refusal: I cannot help with that"),
    ),
}
"""By feature; what the llama says of 3 is right, of 4 hostile, and of 7 nothing."""


def tables_of(sae_ids: Sequence[str], features: Mapping[int, Sequence[Said]] = FEATURES) -> dict[str, pl.DataFrame]:
    """Explanations, scores, aggregates and vectors of some SAEs; of a frozen dictionary scores lie at chance."""
    explanations: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    vectors: list[dict[str, Any]] = []
    for sae in sae_ids:
        for feature, said in features.items():
            for one in said:
                explanations.append(_explanation(sae, feature, one))
                if one.text is not None:
                    scores += _scores(sae, feature, one)
                    vectors.append(_vector(sae, feature, one))
    scored = pl.DataFrame(scores, schema=SCORES)
    return {
        "explanations": pl.DataFrame(explanations, schema=EXPLANATIONS),
        "scores": scored,
        "aggregates": aggregates(scored, 50, 0),
        "explanation_embeddings": _vectors(vectors),
        "activation_examples": pl.DataFrame(
            [row for sae in sae_ids for feature in features for row in _examples(sae, feature)],
            schema=ACTIVATION_EXAMPLES,
        ),
    }


def publish(
    workspace: Workspace,
    saes: Mapping[str, Artifact],
    tables: Mapping[str, pl.DataFrame] | None = None,
    card: Card = CARD,
    name: str = "cats",
) -> Path:
    """Publish the tables of these SAEs under a name, in place of what is there."""
    found = tables if tables is not None else tables_of(list(saes))
    link = workspace.root / "catalogues" / name
    folder = link.with_name(f".{name}-{uuid4().hex[:8]}")
    folder.parent.mkdir(exist_ok=True)
    write(folder, found, card)
    unit = {"recipe": {"saes": list(saes)}, "inputs": {"sae": [artifact.ref for artifact in saes.values()]}}
    (folder / MANIFEST).write_text(json.dumps({"unit": unit}), encoding="utf-8")
    temporary = folder.with_suffix(".link")
    temporary.symlink_to(folder.name)
    temporary.replace(link)
    return link


def write(folder: Path, found: Mapping[str, pl.DataFrame], card: Card = CARD) -> None:
    """Write the tables, and beside them what explainers said, the scores over features and the estimates."""
    beside = ("explanations", "aggregates")
    published = {name: table for name, table in found.items() if name not in beside}
    write_tables(folder, published, {"explanation_embeddings": card})
    for name in beside:
        found[name].write_parquet(folder / f"{name}.parquet", compression="zstd")
    said = [asdict(one) for one in estimates(found["aggregates"])]
    (folder / "summary.json").write_text(json.dumps({"estimates": said}), encoding="utf-8")


def _explanation(sae: str, feature: int, one: Said) -> dict[str, Any]:
    asked = one.explainer == "llama"
    return {
        "feature_id": feature,
        "sae_id": sae,
        "explainer": one.explainer,
        "explanation_method": "examples" if asked else "enriched_words",
        "llm_explainer": "meta/llama-3" if asked else "",
        "language": one.language,
        "text": one.text,
        "prompt_version": f"explain_examples-1.{one.language}" if asked else "",
        "prompt": PROMPT if asked else None,
        "raw_answer": f'"{one.text or one.failure}"' if asked else None,
        "failure": one.failure,
        "prompt_tokens": 100 if asked else 0,
        "completion_tokens": 5 if asked else 0,
    }


def _scores(sae: str, feature: int, one: Said) -> Iterator[dict[str, Any]]:
    value = 0.5 + (feature % 3) / 100 if sae.endswith("-frozen") else one.score
    for scorer, metric, judge in (("embedding", "auroc", None), ("fuzz", "balanced_accuracy", "meta/llama-3")):
        for kind, language in (("all", "all"), ("random", "all"), ("all", "en"), ("all", "ar")):
            yield {
                "feature_id": feature,
                "sae_id": sae,
                "explainer": one.explainer if one.language == "en" else f"{one.explainer}:{one.language}",
                "scorer": scorer,
                "example_kind": kind,
                "language": language,
                "metric": metric,
                "value": value,
                "low": round(value - 0.1, 3),
                "high": round(value + 0.05, 3),
                "n": 20,
                "n_failed": one.failed if judge else 0,
                "judge": judge,
                "prompt_version": f"judge_{scorer}-1.en" if judge else "",
            }


def _examples(sae: str, feature: int) -> Iterator[dict[str, Any]]:
    """A caption of each language on whose second token the feature fires, and on a cell of its picture."""
    for number, (language, tokens) in enumerate({"en": ["▁a", "▁woman", "▁sings"], "ar": ["▁ذكر", "▁امرأة"]}.items()):
        yield {
            "feature_id": feature,
            "sae_id": sae,
            "prompt_id": number,
            "prompt_tokens": tokens,
            "num_activations": 1,
            "max_activation": 2.5 - number,
            "activation_pairs": [{"token_position": 1, "activation_value": 2.5 - number}],
            "language": language,
            "sample_id": f"s{number}",
            "image": f"images/s{number}.png",
            "map_cells": [0.0, 1.0 - number, 0.0, 0.0],
        }


def _vector(sae: str, feature: int, one: Said) -> dict[str, Any]:
    source = one.explainer if one.language == "en" else f"{one.explainer}:{one.language}"
    return {"feature_id": feature, "sae_id": sae, "data_source": source, "llm_explainer": "", "text": str(one.text)}


def _vectors(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A unit vector per row, drawn at random."""
    drawn = np.random.default_rng(0).normal(size=(len(rows), CARD.dimension)).astype(np.float32)
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    table = pl.DataFrame(rows).with_columns(vector_column(unit).alias("embedding"))
    return table.select(*EXPLANATION_EMBEDDINGS).cast(EXPLANATION_EMBEDDINGS)
