"""What each row of a captured sentence is: the fragment that ends with its token, and the words in it."""

from collections.abc import Sequence

import polars as pl

from core.concepts.words import complete_words

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
