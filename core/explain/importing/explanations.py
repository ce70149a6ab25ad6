"""Explanations in text files, one per feature: `explanations/layers.30_latent877.txt`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import BadInput, first_line
from core.explain.importing.layout import Source, numbered
from core.explain.tables import EXPLANATIONS

METHOD = "quantiles"
"""What older tables call the method, where a source says nothing else."""
_TEXT_KEYS = ("explanation", "text")


def read_explanations(sources: Iterable[Source], models: Mapping[str, str], sae_id: str | None) -> pl.DataFrame:
    """The explanations of all sources, with the columns of `EXPLANATIONS`; the explainer is called after the source.

    Args:
        sources: folders of raw results.
        models: full model names by the part of a source's name (`llama_e`).
        sae_id: what the SAE is called; null takes what the source says.

    Raises:
        BadInput: a file cannot be read.
    """
    records = [record for source in sources for record in _of_source(source, models, sae_id)]
    empty = {"prompt_version": None, "prompt": None, "raw_answer": None, "prompt_tokens": 0, "completion_tokens": 0}
    return pl.DataFrame([record | empty for record in records], schema=EXPLANATIONS)


def explainer_model(source: Source, models: Mapping[str, str]) -> str:
    """The model that explained: as given, as run_config.json says, or the part of the source's name."""
    return models.get(source.explainer) or str(source.config.get("explainer_model") or source.explainer)


def _of_source(source: Source, models: Mapping[str, str], sae_id: str | None) -> Iterable[dict[str, Any]]:
    for feature, hook, path in numbered(source.folder / "explanations"):
        text = _text(path)
        yield {
            "feature_id": feature,
            "sae_id": sae_id or source.sae_id(hook),
            "explainer": source.name,
            "explanation_method": str(source.config.get("explanation_method") or METHOD),
            "llm_explainer": explainer_model(source, models),
            "language": "en",
            "text": text or None,
            "failure": "" if text else "the file is empty",
        }


def _text(path: Path) -> str:
    """The explanation: the whole file, or the JSON text or object in it."""
    try:
        content = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as text ({first_line(error)}); write it as UTF-8") from error
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if isinstance(told, dict):
        told = next((told[key] for key in _TEXT_KEYS if told.get(key)), "")
    return told.strip() if isinstance(told, str) else content
