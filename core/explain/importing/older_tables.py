"""Parquet tables of older versions, cast to the declared columns."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from core.errors import BadInput, first_line
from core.explain.published import PUBLISHED, read_table
from core.explain.table_file import Card, read_card
from core.explain.tables import FEATURES

_KEY = ["feature_id", "sae_id", "explanation_method", "llm_explainer"]
_KINDS = ("fuzz", "simulation", "detection", "embedding")
_AVERAGES = ("semsim_mean", "semsim_max")
_NAMES = {"feature_analysis": "features"}
"""Files that were called otherwise."""


class OlderTable(NamedTuple):
    """A published table out of a file: its rows, and by what its vectors were embedded, where the file says it."""

    name: str
    rows: pl.DataFrame
    card: Card


def older_table(path: Path) -> OlderTable | None:
    """What a file holds; null for a file of another kind. A table of today's version is read as such.

    Raises:
        BadInput: it cannot be read, or a column is missing or cannot be cast.
    """
    name = _NAMES.get(path.stem, path.stem)
    if name not in PUBLISHED:
        return None
    try:
        card = read_card(path)
    except BadInput:
        return OlderTable(name, _cast(path, name), Card())
    return OlderTable(name, read_table(path), replace(card, int8=False, recall_at_10=None))


def _cast(path: Path, name: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, PolarsError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({first_line(error)}); take it away") from error
    return cast_older(path, frame, PUBLISHED[name], _nested if name == "features" else None)


def cast_older(
    path: Path,
    frame: pl.DataFrame,
    declared: pl.Schema,
    shaped: Callable[[Path, pl.DataFrame], pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """The table with exactly the declared columns; what older versions did not have is null, further columns are left
    out.

    Raises:
        BadInput: a column is missing or cannot be cast.
    """
    found = frame if shaped is None else shaped(path, frame)
    for name, kind in _FILLED.items():
        if name in declared and name not in found.columns:
            found = found.with_columns(pl.lit(None, kind).alias(name))
    for name, kind in declared.items():
        if name not in found.columns:
            raise BadInput(f"{path}: column {name!r} is missing; add it, or take the file away")
        try:
            found = found.with_columns(pl.col(name).cast(kind))
        except PolarsError as error:
            raise BadInput(f"{path}: column {name!r} is {found[name].dtype}, not {kind}; correct it") from error
    return found.select(*declared)


_FILLED: Mapping[str, pl.DataType] = {
    "language": pl.Categorical(),
    "sample_id": pl.String(),
    "image": pl.String(),
    "map_cells": pl.List(pl.Float32()),
}
"""Columns that older tables of examples do not have."""


def _nested(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """The main table in its nested form: v1 has one row per judge, with averages of similarities in place of a list."""
    missing = [name for name in _KEY if name not in frame.columns]
    if missing:
        raise BadInput(f"{path}: column {missing[0]!r} is missing; add it, or take the file away")
    told = frame.with_columns(_similarity(frame), _neighbours(frame))
    if "explanation_text" not in told.columns:
        told = told.with_columns(pl.lit(None, pl.String).alias("explanation_text"))
    if "scores" in told.columns:
        return told.with_columns(_scores(told))
    judge = pl.col("llm_scorer") if "llm_scorer" in told.columns else pl.lit("")
    each = [
        (pl.col(f"score_{kind}") if f"score_{kind}" in told.columns else pl.lit(None)).cast(pl.Float64).alias(kind)
        for kind in _KINDS
    ]
    entry = pl.struct(judge.cast(pl.String).alias("scorer"), *each)
    first = [pl.col(name).first() for name in ("explanation_text", "decoder_similarity", "semantic_similarity")]
    return told.group_by(_KEY, maintain_order=True).agg(*first, entry.alias("scores"))


def _similarity(frame: pl.DataFrame) -> pl.Expr:
    """v1 says the mean and the largest cosine to the other explainers alone: they are kept under these names."""
    if "semantic_similarity" in frame.columns:
        return pl.col("semantic_similarity")
    empty = pl.lit([], FEATURES["semantic_similarity"])
    there = [name for name in _AVERAGES if name in frame.columns]
    if not there:
        return empty.alias("semantic_similarity")
    entries = [
        pl.struct(
            pl.lit(name).cast(pl.Categorical).alias("explainer"),
            pl.col(name).cast(pl.Float32).alias("cosine_similarity"),
        )
        for name in there
    ]
    known = pl.any_horizontal(pl.col(name).is_not_null() for name in there)
    return pl.when(known).then(pl.concat_list(entries)).otherwise(empty).alias("semantic_similarity")


def _neighbours(frame: pl.DataFrame) -> pl.Expr:
    """A list of neighbours; v1 has a single number or none."""
    has_list = isinstance(frame.schema.get("decoder_similarity"), pl.List)
    wanted = FEATURES["decoder_similarity"]
    return pl.col("decoder_similarity") if has_list else pl.lit([], wanted).alias("decoder_similarity")


def _scores(frame: pl.DataFrame) -> pl.Expr:
    """The nested scores with every kind, Float64: a kind that was not run came as a column of nulls, or not at all."""
    fields = {field.name for field in frame.schema["scores"].inner.fields}  # type: ignore[attr-defined]
    entry = pl.struct(
        pl.element().struct.field("scorer").cast(pl.String),
        *(
            (pl.element().struct.field(kind) if kind in fields else pl.lit(None)).cast(pl.Float64).alias(kind)
            for kind in _KINDS
        ),
    )
    return pl.col("scores").list.eval(entry)
