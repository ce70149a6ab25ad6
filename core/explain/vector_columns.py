"""Columns of vectors: as arrays, as lists of Float32, and as one byte per dimension."""

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int8

from core.explain.nested import list_column

VECTORS = ("embedding", "embeddings")
"""Columns of vectors: one per row, or a list of them."""
_INT8: dict[str, Any] = {"embedding": pl.List(pl.Int8), "embeddings": pl.List(pl.List(pl.Int8))}
_NESTED = pl.List(pl.List(pl.Float32))


def stored_schema(declared: pl.Schema, int8: bool) -> pl.Schema:
    """The columns as they are in the file: vectors as bytes where they are kept so."""
    return pl.Schema({name: _INT8.get(name, kind) if int8 else kind for name, kind in declared.items()})


def to_bytes(vectors: Float[np.ndarray, "n d"]) -> Int8[np.ndarray, "n d"]:
    """Each vector scaled so that its largest component is ±127, and rounded; its direction is what is kept."""
    largest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)
    scaled = np.rint(vectors * (127 / np.where(largest > 0, largest, 1)))
    return np.asarray(scaled, np.int8)


def unit_length(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Every vector divided by its norm; a zero vector stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def vectors_of(column: pl.Series) -> Float[np.ndarray, "n d"]:
    """A column of lists of one length as an array; bytes become Float32 of unit length."""
    if column.dtype != pl.List(pl.Float32):
        return unit_length(vectors_of(column.cast(pl.List(pl.Float32))))
    dimension = int(column.list.len().max() or 0)  # type: ignore[arg-type]
    flat = column.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return np.asarray(flat.reshape(len(column), dimension), np.float32)


def vector_column(vectors: "Float[np.ndarray, 'n d'] | Int8[np.ndarray, 'n d']") -> pl.Series:
    """An array as a column of lists: of Float32, or of bytes."""
    lengths = np.full(len(vectors), vectors.shape[1])
    kind = pl.List(pl.Int8) if vectors.dtype == np.int8 else pl.List(pl.Float32)
    return list_column(np.ascontiguousarray(vectors).ravel(), lengths, kind)


def with_bytes(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with its vectors as bytes."""
    if "embedding" in frame.columns:
        return frame.with_columns(vector_column(to_bytes(vectors_of(frame["embedding"]))).alias("embedding"))
    counts = frame["embeddings"].list.len().to_numpy()
    small = vector_column(to_bytes(vectors_of(frame["embeddings"].explode(empty_as_null=False))))
    return frame.with_columns(list_column(small, counts, _INT8["embeddings"]).alias("embeddings"))


def as_float32(declared: pl.Schema) -> list[pl.Expr]:
    """What turns the byte columns of a scanned table into Float32 of unit length."""
    return [
        pl.col(name).map_batches(_float32, return_dtype=pl.List(pl.Float32) if name == "embedding" else _NESTED)
        for name in VECTORS
        if name in declared
    ]


def _float32(column: pl.Series) -> pl.Series:
    if column.dtype == pl.List(pl.Int8):
        return vector_column(vectors_of(column))
    counts = column.list.len().to_numpy()
    return list_column(vector_column(vectors_of(column.explode(empty_as_null=False))), counts, _NESTED)
