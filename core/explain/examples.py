"""The examples of features: every prompt in which a feature fires, with its activation on tokens and image patches."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from core.explain.firing import Firing, blocks, firing, spans
from core.explain.nested import list_column
from core.explain.prompt_rows import Prompts, number_prompts
from core.explain.tables import ACTIVATION_EXAMPLES
from core.features.index import FeatureIndex

MOST_ROWS = 1 << 16
"""Rows of a block at most."""


def activation_examples(
    index: FeatureIndex,
    tokens: pl.DataFrame,
    samples: pl.DataFrame,
    features: Sequence[int] | None,
    sae_id: str,
) -> Iterator[pl.DataFrame]:
    """One row per feature and prompt in which it fires, by feature and prompt, in blocks of at most `MOST_ROWS` rows.

    A feature that never fires has no rows. Special rows are left out.

    Args:
        index: the layer's feature index.
        tokens: what each of its T rows is of (`core.activations.tokens.layer_tokens`).
        samples: the study's samples.
        features: their numbers; null takes all.
        sae_id: what the SAE is called in the table.

    Raises:
        BadInput: there is no such feature.
    """
    prompts = number_prompts(tokens, samples)
    chosen = range(index.num_features) if features is None else sorted(set(features))
    for block in blocks(index, chosen):
        fired = firing(index, prompts, block)
        for start in range(0, len(fired.keys), MOST_ROWS):
            yield _rows(fired, np.arange(start, min(start + MOST_ROWS, len(fired.keys))), prompts, sae_id)
        index.release()


def _rows(fired: Firing, pairs: Int[np.ndarray, " m"], prompts: Prompts, sae_id: str) -> pl.DataFrame:
    owner, prompt = fired.owner[pairs], fired.prompt[pairs]
    entries, of = fired.entries(pairs)
    text = ~fired.image[entries]
    shown = prompts.table[prompt]
    columns = {
        "feature_id": pl.Series(fired.features[owner]),
        "sae_id": pl.repeat(sae_id, len(pairs), eager=True),
        "prompt_id": shown["prompt_id"],
        "prompt_tokens": prompts.tokens[prompt],
        "num_activations": pl.Series(np.bincount(of[text], minlength=len(pairs))),
        "max_activation": pl.Series(np.maximum.reduceat(fired.value[entries], fired.starts[pairs] - entries[0])),
        "activation_pairs": _pairs(fired, entries[text], of[text], len(pairs)),
        "language": shown["language"],
        "sample_id": shown["sample_id"],
        "image": shown["image"],
        "map_cells": map_cells(fired, pairs, prompt, prompts),
    }
    return pl.DataFrame(columns).cast(ACTIVATION_EXAMPLES)


def _pairs(fired: Firing, entries: Int[np.ndarray, " e"], of: Int[np.ndarray, " e"], rows: int) -> pl.Series:
    parts = {"token_position": fired.place[entries].astype(np.uint32), "activation_value": fired.value[entries]}
    return list_column(parts, np.bincount(of, minlength=rows), ACTIVATION_EXAMPLES["activation_pairs"])


def map_cells(
    fired: Firing, pairs: Int[np.ndarray, " m"], prompt: Int[np.ndarray, " m"], prompts: Prompts
) -> pl.Series:
    """The activation on each patch of each prompt's image, row by row; null without an image.

    A pair of -1 is silent: its cells are 0.
    """
    cells = prompts.cells[prompt]
    first = cells.cumsum() - cells
    dense = np.zeros(int(cells.sum()), np.float32)
    active = np.flatnonzero(pairs >= 0)
    entries, of = spans(fired.starts[pairs[active]], fired.starts[pairs[active] + 1])
    patch = fired.image[entries]
    dense[first[active[of[patch]]] + fired.place[entries[patch]]] = fired.value[entries[patch]]
    column = list_column(dense, cells, pl.List(pl.Float32))
    return pl.select(pl.when(pl.Series(cells > 0)).then(column)).to_series()


def dense_values(examples: pl.DataFrame) -> pl.Series:
    """The activation on every token of each row of `ACTIVATION_EXAMPLES`, 0 where the feature is silent."""
    lengths = examples["prompt_tokens"].list.len().to_numpy().astype(np.int64)
    first = lengths.cumsum() - lengths
    counts = examples["activation_pairs"].list.len().to_numpy()
    pairs = examples["activation_pairs"].explode(empty_as_null=False).struct.unnest()
    dense = np.zeros(int(lengths.sum()), np.float32)
    dense[np.repeat(first, counts) + pairs["token_position"].to_numpy()] = pairs["activation_value"].to_numpy()
    return list_column(dense, lengths, pl.List(pl.Float32))
