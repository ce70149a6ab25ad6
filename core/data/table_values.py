"""Rows and values of a table: what a value is taken for, and how much of it a message shows."""

import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

_MOST_SHOWN = 120
_LARGEST_ID = 2**53
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_PYTHON = re.compile(r"""b['"](\\x|GIF8|RIFF|BM)|\{['"](bytes|path)['"]:|<(PIL|class|_io)\b""")
_BASE64 = re.compile(r"(iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/=\s]{64,}")


class Row(NamedTuple):
    """A row of a table, counted from 1 without the header; `fault` says why it could not be read as one."""

    number: int
    values: Mapping[str, Any]
    fault: str | None = None


class PictureCell(NamedTuple):
    """What a value says of a picture: its content, or where it lies; `path` is its name where the content is there."""

    content: bytes | None
    path: str | None


class WrongCell(ValueError):
    """A value is nothing of the kind that its column is for; the message is a reason to drop its row."""


def shown(value: object, most: int = _MOST_SHOWN) -> str:
    """A value in one line of at most `most` characters, for a message."""
    text = str(value)
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in cut)


def is_missing(value: object) -> bool:
    """Null, or the NaN that other programs write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_name(value: object, what: str) -> str | None:
    """An id or another name as text; null where the value is empty.

    Raises:
        WrongCell: it holds bytes, a list or a struct; the message calls it `what`.
    """
    if is_missing(value):
        return None
    if isinstance(value, bytes | list | tuple | Mapping):
        raise WrongCell(f"{what} is text or a number, not {type(value).__name__}")
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_ID:
        value = int(value)  # integers beside nulls are floats in pandas
    return str(value).strip() or None


def as_picture(value: object) -> PictureCell | None:
    """A picture's path, bytes, or struct of both as the `datasets` library stores it; null where the value is empty.

    Raises:
        WrongCell: it holds something else.
    """
    if isinstance(value, Mapping) and value.keys() & {"bytes", "path"}:
        content, path = value.get("bytes"), value.get("path")
    elif isinstance(value, bytes):
        content, path = value, None
    else:
        content, path = None, value
    if is_missing(content) and is_missing(path):
        return None
    if isinstance(content, str):
        raise WrongCell("its bytes are text; keep pictures in Parquet, or as files beside the table")
    if not isinstance(content, bytes | None) or not isinstance(path, str | None):
        found = type(path if content is None else content).__name__
        raise WrongCell(f"a picture is a path, its bytes, or a struct of bytes and path, not {found}")
    text = (path or "").strip()
    if content is None and (reason := _no_path(text)) is not None:
        raise WrongCell(reason)
    return PictureCell(content, PurePath(text).as_posix() if text else None) if text or content is not None else None


def named_path(value: object) -> str | None:
    """The path in a picture's value; null where it holds none, or something that is no picture."""
    try:
        picture = as_picture(value)
    except WrongCell:
        return None
    return picture.path if picture is not None else None


def _no_path(text: str) -> str | None:
    """Why a text is no path; null where it can be one."""
    if text.lower().startswith("file://"):
        return "an address, not a path; write the path without file://"
    if _ADDRESS.match(text):
        return "a web address or the picture as text, not a path; save the picture as a file"
    if _PYTHON.match(text):
        return "a picture as Python prints it, not a path; keep pictures in Parquet, or save them as files"
    if _BASE64.match(text):
        return "a picture as base64 text, not a path; save the picture as a file"
    return None
