"""Sentences as a capture job: one causal pass per sentence stands for a pass over each of its beginnings.

A causal decoder's state at token t depends on tokens 0 … t alone, so it equals the state at the last token of a pass
over those tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.activations.requests import CaptureJob
from core.activations.tokens import SUMMARY
from core.data.languages import LANGUAGES
from core.errors import BadInput
from core.study.model import CaptureConfig


def sentence_job(sentences: pl.DataFrame, language: str, config: CaptureConfig) -> CaptureJob:
    """The job that captures every token of the sentences (`sentence_id`, `sentence`) behind BOS alone.

    Control tokens in a sentence are text. Of `config` count the layers, the site, the limits and what is done with NaN
    or Inf; a sentence of more than `max_caption_tokens` is left out, never cut.

    Raises:
        BadInput: the language is none that captions can have.
    """
    if language not in LANGUAGES:
        raise BadInput(f"language: {language!r} is not one of {', '.join(LANGUAGES)}")
    ids = pl.col("sentence_id")
    captions = pl.col("sentence").alias(f"caption_{language}")
    samples = sentences.select(ids.alias("sample_id"), ids.alias("image_id"), captions)
    own = config.model_copy(update={"segments": ("caption",), "pool": "none", "long_captions": "drop"})
    return CaptureJob(samples, None, own, {language: ""}, literal=True)


def dropped_sentences(shards: Sequence[Path]) -> pl.DataFrame:
    """The sentences that capture left out, with the reason, once where shards are of several sites: `sentence_id`,
    `reason`."""
    drops = [drop for shard in shards for drop in json.loads((shard / SUMMARY).read_text(encoding="utf-8"))["drops"]]
    rows = [(drop["sample_id"], sentence_reason(drop["reason"])) for drop in drops]
    table = pl.DataFrame(rows, schema={"sentence_id": pl.String, "reason": pl.String}, orient="row")
    return table.unique(maintain_order=True)


def sentence_reason(reason: str) -> str:
    """Why a caption was left out, in the words of a scan."""
    return reason.replace("the caption", "the sentence").replace("max_caption_tokens", "fragments.max_tokens")
