"""From sentences to fragments: one causal pass per sentence stands for a pass over each of its beginnings.

A causal decoder's state at token t depends on tokens 0 … t alone, so it equals the state at the last token of a pass
over those tokens. A row of the captured layer is a fragment: the tokens up to its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.activations.requests import CaptureJob
from core.activations.tokens import SUMMARY
from core.concepts.words import complete_words
from core.data.languages import LANGUAGES
from core.errors import BadInput
from core.study.model import CaptureConfig

FRAGMENTS = {
    "sentence_id": pl.String,
    "token_index": pl.UInt32,
    "token": pl.String,
    "fragment": pl.String,
    "word": pl.UInt32,
    "ends_word": pl.Boolean,
    "is_full": pl.Boolean,
}
"""A row per fragment: the number of its last token in the sentence (from 0) and how it is spelt, the fragment's text,
the number of whole words in it, whether its last token ends a word, and whether it is the full sentence. The text of a
token that is part of a character goes to that character's end."""


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


def fragment_rows(tokens: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
    """What each row of the captured layers is a fragment of: a table with the columns of `FRAGMENTS`.

    Args:
        tokens: of the rows, in their order (`LayerTable.tokens`, or `captured_tokens`).
        sentences: `sentence_id` and `sentence` of at least those that were captured.
    """
    texts = dict(zip(sentences["sentence_id"], sentences["sentence"], strict=True))
    parts = [_of_sentence(texts[own["sample_id"][0]], own) for own in _by_sentence(tokens)]
    return pl.concat([pl.DataFrame(schema=FRAGMENTS), *parts])


def _by_sentence(tokens: pl.DataFrame) -> list[pl.DataFrame]:
    return tokens.partition_by("shard", "sample_id", maintain_order=True) if tokens.height else []


def _of_sentence(text: str, tokens: pl.DataFrame) -> pl.DataFrame:
    ends = tokens["char_end"].to_list()
    return fragments_of(tokens["sample_id"][0], text, ends, tokens["token"].to_list())


def fragments_of(sentence_id: str, text: str, ends: Sequence[int], tokens: Sequence[str]) -> pl.DataFrame:
    """The fragments of one sentence whose tokens end at these places of its text."""
    words = complete_words(text, ends)
    columns = {
        "sentence_id": [sentence_id] * len(ends),
        "token_index": range(len(ends)),
        "token": tokens,
        "fragment": [text[:end] for end in ends],
        "word": words,
        "ends_word": [word > before for before, word in zip([0, *words], words, strict=False)],
        "is_full": [place == len(ends) - 1 for place in range(len(ends))],
    }
    return pl.DataFrame(columns, schema=FRAGMENTS)


def dropped_sentences(shards: Sequence[Path]) -> pl.DataFrame:
    """The sentences that capture left out, with the reason: `sentence_id`, `reason`."""
    drops = [drop for shard in shards for drop in json.loads((shard / SUMMARY).read_text(encoding="utf-8"))["drops"]]
    rows = [(drop["sample_id"], drop["reason"].replace("the caption", "the sentence")) for drop in drops]
    return pl.DataFrame(rows, schema={"sentence_id": pl.String, "reason": pl.String}, orient="row")
