"""Tables of a few rows, with pictures, as other programs leave them."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from core.data.samples import prepare, read_samples
from core.progress import silent
from core.study.data import Columns, TableSource

DATASETS_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How the `datasets` library stores a picture."""


def png(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour % 256, colour // 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def captions(count: int) -> dict[str, list[str]]:
    """Women and men in turn, each text its own."""
    people = (("woman", "امرأة"), ("man", "رجل"))
    return {
        "caption_en": [f"A {people[n % 2][0]} reads book number {n}." for n in range(count)],
        "caption_ar": [f"{people[n % 2][1]} والكتاب {n}." for n in range(count)],
    }


def write_parquet(path: Path, images: list[Any], kind: pa.DataType | None = None, **columns: list[Any]) -> None:
    own = {**captions(len(images)), **columns}
    pq.write_table(pa.table({"image": pa.array(images, kind), **own}), path, row_group_size=5)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def table(path: Path, columns: Columns | None = None, **settings: Any) -> TableSource:
    named = {"max_dropped_fraction": 1.0, **settings}
    return TableSource(source="table", path=path.name, columns=columns or Columns(), **named)


def prepared(path: Path, columns: Columns | None = None, **settings: Any) -> tuple[pl.DataFrame, dict[int, str], Any]:
    """The samples of a table, the reasons of rows that are none, and the summary."""
    out = path.parent / f"out-{path.name}-{len(list(path.parent.glob('out-*')))}"
    out.mkdir()
    prepare(table(path, columns, **settings), path.parent, out, silent)
    dropped = pl.read_parquet(out / "dropped.parquet")
    reasons = {row: f"{field}: {reason}" for row, _, field, reason in dropped.iter_rows()}
    return read_samples(out), reasons, json.loads((out / "summary.json").read_text(encoding="utf-8"))
