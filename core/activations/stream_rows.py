"""Rows of a layer picked by what they belong to: a segment, a language, or both."""

from typing import NamedTuple

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.activations.table import LayerTable
from core.errors import BadInput

SHARED = "shared"
"""The language of rows that no caption changes."""


class StreamRows(NamedTuple):
    """Rows of the stream in float32 and in its own units, and the token of each: columns of `LayerTable.tokens`."""

    stream: Float[Tensor, "T D"]
    tokens: pl.DataFrame


def stream_rows(table: LayerTable, segment: str | None = None, language: str | None = None) -> StreamRows:
    """The rows of a segment and a language, in the table's order; of all where none is given.

    Raises:
        BadInput: there are no such rows; the message names those that there are.
    """
    kinds = table.tokens.select("segment", pl.col("language").fill_null(SHARED))
    wanted = {name: value for name, value in (("segment", segment), ("language", language)) if value is not None}
    chosen = kinds.with_row_index("at").filter(pl.lit(True), **wanted)["at"]
    if wanted and chosen.is_empty():
        asked = " and ".join(f"{name} {value!r}" for name, value in wanted.items())
        there = ", ".join(f"{segment} ({language})" for segment, language in kinds.unique().sort(pl.all()).iter_rows())
        raise BadInput(f"layer {table.layer}: no rows of {asked}; there are {there}")
    return StreamRows(table.read(chosen.to_numpy()), table.tokens[chosen])
