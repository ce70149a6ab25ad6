"""JSON Lines tables: one object per line, and what other JSON is taken for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from core.data.table_csv import refuse_foreign
from core.data.table_values import Row, shown
from core.errors import BadInput

_ONE_PER_LINE = "write one object per line, as"
JSON_LINES_FIX = f"{_ONE_PER_LINE} pandas' to_json(path, orient='records', lines=True) or `jq -c '.[]'` does"
"""How other JSON becomes JSON Lines."""
_ROWS_WITHIN = ("data", "annotations", "rows", "samples", "items", "records", "examples", "images")
_LINE_END = 2
_PYTHON = re.compile(rb"\{\s*'")
_NEXT_OBJECT = re.compile(rb"\}\s*\{")


def jsonl_columns(path: Path) -> list[str]:
    """Every key that occurs, in order.

    Raises:
        BadInput: the file is other JSON than JSON Lines, or no text; or none of its lines is an object.
    """
    found: dict[str, None] = {}
    first: Row | None = None
    for row in jsonl_rows(path):
        first = first or row
        found |= dict.fromkeys(row.values)
    if not found and first is not None and first.fault is not None:
        raise BadInput(f"{path.name}: no line is a JSON object (row 1: {first.fault}); {JSON_LINES_FIX}")
    return list(found)


def jsonl_rows(path: Path) -> Iterator[Row]:
    """Stream the rows.

    Raises:
        BadInput: as `jsonl_columns`.
    """
    refuse_foreign(path)
    number = 0
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                number += 1
                row = _row(number, line)
                if number == 1:
                    _refuse_other_json(path, line, row)
                yield row


def _refuse_other_json(path: Path, first: bytes, row: Row) -> None:
    """Refuse a file whose first line cannot be a row.

    Raises:
        BadInput: it is an array, an object over several lines, or one object of whole columns.
    """
    start = first.removeprefix(b"\xef\xbb\xbf").strip()
    if start == b"[" or (start.startswith(b"[") and start[1:].lstrip().startswith((b"{", b"["))):
        raise BadInput(f"{path.name}: a JSON array, not JSON Lines; {JSON_LINES_FIX}")
    if start == b"{":
        raise BadInput(f"{path.name}: an object over several lines, not JSON Lines; {JSON_LINES_FIX}")
    entries = list(row.values.values())
    if entries and all(isinstance(entry, dict) and entry and all(key.isdigit() for key in entry) for entry in entries):
        raise BadInput(f"{path.name}: one object of whole columns, not JSON Lines; {JSON_LINES_FIX}")
    inner = next((key for key in _ROWS_WITHIN if _is_table(row.values.get(key))), None)
    if inner is not None and path.stat().st_size <= len(first) + _LINE_END:
        fix = f"{_ONE_PER_LINE} `jq -c '.{inner}[]'` does"
        raise BadInput(f"{path.name}: one object whose rows are under {inner!r}, not JSON Lines; {fix}")


def _is_table(entry: object) -> bool:
    return isinstance(entry, list) and bool(entry) and all(isinstance(row, dict) for row in entry)


def _row(number: int, line: bytes) -> Row:
    try:
        values = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair passes the parser
    except UnicodeError:
        return Row(number, {}, "not valid Unicode")
    except ValueError as error:
        return Row(number, {}, f"not valid JSON ({_cause(line.strip()) or shown(error)})")
    except RecursionError:
        return Row(number, {}, "not valid JSON (nested too deeply)")
    if isinstance(values, dict):
        return Row(number, values)
    return Row(number, {}, f"not a JSON object but {'an array' if isinstance(values, list) else 'one value'}")


def _cause(line: bytes) -> str | None:
    """Why another program's line is no JSON, where that is known."""
    if b"\r" in line:
        return "its lines end in CR only; let them end in LF"
    if _PYTHON.match(line):
        return "a Python dict; write it by json.dumps"
    if line.endswith(b"},"):
        return "a comma after the object; remove it"
    if _NEXT_OBJECT.search(line):
        return "several objects in one line; begin a line with each"
    return None
