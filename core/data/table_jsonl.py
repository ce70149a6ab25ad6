"""JSON Lines tables: one object a line, and what other JSON is taken for."""

import json
from collections.abc import Iterator
from pathlib import Path

from core.data.table_cells import Row, shown
from core.data.table_csv import refuse_foreign
from core.errors import BadInput

_FIX = "write one object a line, as pandas' to_json(path, orient='records', lines=True) or `jq -c '.[]'` does"


def jsonl_columns(path: Path) -> list[str]:
    """Every key that occurs, in order.

    Raises:
        BadInput: the file is other JSON than JSON Lines, or no text.
    """
    return list(dict.fromkeys(key for row in jsonl_rows(path) for key in row.values))


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
        raise BadInput(f"{path.name}: a JSON array, not JSON Lines; {_FIX}")
    if start == b"{":
        raise BadInput(f"{path.name}: an object over several lines, not JSON Lines; {_FIX}")
    cells = list(row.values.values())
    if cells and all(isinstance(cell, dict) and cell and all(key.isdigit() for key in cell) for cell in cells):
        raise BadInput(f"{path.name}: one object of whole columns, not JSON Lines; {_FIX}")


def _row(number: int, line: bytes) -> Row:
    try:
        values = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair passes the parser
    except UnicodeError:
        return Row(number, {}, "not valid Unicode")
    except ValueError as error:
        return Row(number, {}, f"not valid JSON ({shown(error)})")
    except RecursionError:
        return Row(number, {}, "not valid JSON (nested too deeply)")
    return Row(number, values) if isinstance(values, dict) else Row(number, {}, "not a JSON object")
