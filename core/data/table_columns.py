"""The columns that a study names in its table: they must be there, and hold what they are for."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.data.table_csv import SEPARATORS
from core.data.table_parquet import holds_bytes, is_text, unreadable_columns
from core.data.table_rows import table_columns, table_types
from core.data.table_values import shown
from core.errors import BadInput
from core.study.data import Columns, TableSource

_MOST_LISTED = 200
_MOST_COMPARED = 500
_CAPTIONS = ("caption_en", "caption_ar")
PAIR = "pair_id"
"""The column that pairs rows where the study names none."""
TWIN = "twin_id"


def table_path(source: TableSource, base: Path) -> Path:
    """Where the table lies: its path from `base`, or its name there where `base` is already the table's folder."""
    path = base / source.path
    return path if path.exists() else base / Path(source.path).name


def check_columns(columns: Columns, path: Path) -> list[str]:
    """The table's columns, every one that the study names among them.

    Raises:
        BadInput: naming the missing column, the nearest match and the columns there are; or the column whose type is
            none of what it is for, `pair_id` and `twin_id` among them.
    """
    there = table_columns(path)
    roles = {role: name for role in Columns.model_fields if (name := getattr(columns, role)) is not None}
    for role, name in roles.items():
        if name not in there:
            raise BadInput(f"{path.name}: no column {name!r} (data.columns.{role}); {missing_hint(name, there, path)}")
    types = table_types(path)
    for role, name in roles.items():
        wanted = _wanted(role, types[name]) if name in types else None
        if wanted is not None:
            message = f"column {name!r} (data.columns.{role}) holds {shown(types[name])}"
            raise BadInput(f"{path.name}: {message}; it must hold {wanted}")
    for name in sorted({PAIR, TWIN} & types.keys() - roles.values()):
        wanted = None if name == PAIR and columns.pair is not None else _wanted("id", types[name])
        if wanted is not None:
            message = f"column {name!r} holds {shown(types[name])}"
            raise BadInput(f"{path.name}: {message}; it must hold {wanted}, or rename it if it ties no rows together")
    return there


def read_columns(columns: Columns, there: Sequence[str], types: Mapping[str, Any]) -> list[str]:
    """The columns worth reading: those the study names, and attributes that hold no bytes."""
    named = {getattr(columns, role) for role in Columns.model_fields}
    return [name for name in there if name in named or not (name in types and holds_bytes(types[name]))]


def left_out_columns(columns: Columns, path: Path, read: Sequence[str]) -> list[str]:
    """Attributes among the columns `read` whose values cannot be read.

    Raises:
        BadInput: naming the column that cannot be read although the study names it.
    """
    types = table_types(path)
    found = unreadable_columns(path, read) if types else []
    for role in Columns.model_fields:
        if (name := getattr(columns, role)) in found:
            message = f"column {name!r} (data.columns.{role}) holds {shown(types[name])} that cannot be read"
            raise BadInput(f"{path.name}: {message}; write it as text")
    return found


def left_out_notes(names: Sequence[str], types: Mapping[str, Any]) -> list[str]:
    """What to say of columns that are left out."""
    listed = ", ".join(f"{shown(name)} ({shown(types[name])})" for name in names)
    return [f"columns that cannot be read are left out as attributes: {listed}; write them as text"] if names else []


def missing_hint(name: str, there: Sequence[str], path: Path) -> str:
    """What to say of a table that has no column of this name: the nearest one, and those there are."""
    listed = f"the table's columns: {shown(', '.join(there) or 'none', _MOST_LISTED)}"
    marks = [mark for mark in SEPARATORS if any(mark in column for column in there)]
    if marks and path.suffix.lower() in (".csv", ".tsv"):
        return f"are its columns separated by {marks[0]!r}? save it with commas; {listed}"
    near = difflib.get_close_matches(name, there[:_MOST_COMPARED], n=1, cutoff=0.5)
    return f"did you mean {shown(near[0])!r}? {listed}" if near else listed


def _wanted(role: str, kind: Any) -> str | None:
    """What a column is to hold where it holds something else."""
    if role in _CAPTIONS:
        return None if is_text(kind) else "text, one caption per row"
    if role == "image":
        return None if _is_picture(kind) else "paths (text), pictures (binary), or structs of bytes and path"
    return "text or numbers" if kind.is_nested() or kind == pl.Binary else None


def _is_picture(kind: Any) -> bool:
    if not isinstance(kind, pl.Struct):
        return is_text(kind) or kind == pl.Binary
    fields = {field.name: field.dtype for field in kind.fields}
    content, path = fields.get("bytes", pl.Null()), fields.get("path", pl.Null())
    return bool(fields.keys() & {"bytes", "path"}) and content in (pl.Binary, pl.Null) and is_text(path)
