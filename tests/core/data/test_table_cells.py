"""One bad cell drops one row, with a reason that shows little of it."""

import base64
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.sources import source_files
from core.data.table_look import look_at_table
from core.errors import BadInput
from core.study.data import Columns
from tests.core.data.table_files import captions, png, prepared, table, write_jsonl, write_parquet

SECRET = "no-one-needs-all-of-this-"


def rows_with(image: Any = "0.png", **cells: Any) -> list[dict[str, Any]]:
    """A row with these cells between two good ones."""
    texts = captions(3)
    rows = [{"image": "0.png", **{name: text[n] for name, text in texts.items()}} for n in range(3)]
    rows[1] |= {"image": image, **cells}
    return rows


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"image": "a" * 300 + ".png"}, r"image: a{119}…: the file cannot be read \(File name too long\)"),
        ({"image": "d/" * 3000}, "image: .*File name too long"),
        ({"image": "a\0b.png"}, "image: a.b.png: the file is missing"),
        ({"image": "a\nb.png"}, "image: a b.png: the file is missing"),
        ({"image": "pictures\\0.png"}, r"image: .*the file is missing; write paths with /, not \\"),
        ({"image": "."}, "image: .: a folder, not a picture"),
        ({"image": "/dev/zero"}, "image: /dev/zero: a device, not a picture"),
        ({"image": "https://x.example/0.png"}, "image: a web address or the picture as text"),
        ({"image": "data:image/png;base64," + SECRET * 900}, "image: a web address or the picture as text"),
        ({"image": ["0.png"]}, "image: a picture is a path, .*not list"),
        ({"image": 7}, "image: a picture is a path, .*not int"),
        ({"image": {"bytes": SECRET * 900, "path": None}}, "image: its bytes are text"),
        ({"image": {"bytes": None, "path": ["x"]}}, "image: .*not list"),
        ({"image": {"src": "x"}}, "image: .*not dict"),
        ({"image": {"bytes": None, "path": None}}, "image: no image path"),
        ({"image": float("nan")}, "image: no image path"),
        ({"caption_en": {"raw": SECRET * 900}}, "caption_en: a caption is text, not dict"),
        ({"caption_en": [SECRET * 900]}, "caption_en: a caption is text, not list"),
        ({"caption_en": True}, "caption_en: a caption is text, not bool"),
        ({"caption_ar": float("nan")}, "caption_ar: empty caption"),
        ({"caption_ar": "\u200f\u200b"}, "caption_ar: empty caption"),
        ({"pair_id": [SECRET * 900]}, "pair_id: a pair is text or a number, not list"),
        ({"twin_id": {"of": SECRET * 900}}, "twin_id: a twin's id is text or a number, not dict"),
    ],
)
def test_a_bad_cell_of_json_drops_its_row(tmp_path: Path, cells: dict[str, Any], reason: str) -> None:
    (tmp_path / "0.png").write_bytes(png(1))
    write_jsonl(tmp_path / "t.jsonl", rows_with(**cells))
    frame, reasons, summary = prepared(tmp_path / "t.jsonl")
    assert (frame.height, summary["rows"], summary["dropped"]) == (2, 3, 1)
    assert list(reasons) == [2]
    assert pl.Series([reasons[2]]).str.contains(f"^{reason}").item(), reasons[2]
    assert len(reasons[2]) < 400 and SECRET * 5 not in reasons[2]
    source = table(tmp_path / "t.jsonl")
    assert [path.name for path in source_files(source, tmp_path)] == ["t.jsonl", "0.png"]
    assert look_at_table(source, tmp_path).unusable == {reasons[2].split(":")[0]: 1}


@pytest.mark.parametrize("sample_id", [[1], {"a": SECRET * 900}, None, float("nan"), " ", SECRET * 900])
def test_a_bad_id_drops_its_row(tmp_path: Path, sample_id: Any) -> None:
    texts = captions(3)
    ids = [SECRET * 900, 2, sample_id]
    rows = [{"id": ids[n], **{name: text[n] for name, text in texts.items()}} for n in range(3)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    frame, reasons, _ = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None))
    assert frame.height == 2 and list(reasons) == [3]
    assert SECRET * 9 not in reasons[3]


def test_what_is_refused_for_many_bad_cells_shows_little_of_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [*rows_with(image=f"{SECRET * 900}.png")] * 2)
    with pytest.raises(BadInput) as caught:
        prepared(tmp_path / "t.jsonl", max_dropped_fraction=0)
    assert len(str(caught.value)) < 1500 and "\n" not in str(caught.value)


def test_a_text_of_parquet_that_is_no_unicode_drops_its_row(tmp_path: Path) -> None:
    texts = captions(4)
    spoilt = pa.array([text.encode() if n != 2 else b"\xff\xfe" for n, text in enumerate(texts["caption_en"])])
    english = pa.Array.from_buffers(pa.string(), 4, spoilt.buffers())
    pq.write_table(pa.table({"caption_en": english, "caption_ar": texts["caption_ar"]}), tmp_path / "t.parquet")
    frame, reasons, _ = prepared(tmp_path / "t.parquet", Columns(image=None))
    assert frame["caption_en"].to_list() == [text for n, text in enumerate(texts["caption_en"]) if n != 2]
    assert reasons == {3: "row: a text that is not valid UTF-8"}


def test_a_date_that_no_calendar_has_drops_its_row(tmp_path: Path) -> None:
    days = {"day": pa.array([0, 2**31 - 1, None], pa.date32()), "at": pa.array([0, 1, 2**62], pa.timestamp("us"))}
    pq.write_table(pa.table({**captions(3), **days}), tmp_path / "t.parquet")
    frame, reasons, _ = prepared(tmp_path / "t.parquet", Columns(image=None))
    assert frame["day"].dtype == pl.Date and frame.height == 1
    assert set(reasons.values()) == {"row: a date beyond the years 1 to 9999"}


def test_a_byte_that_is_no_utf_8_drops_its_row_of_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("caption_en,note\nA man,x\nA caf\u00e9,y\nA woman,z\n".encode("latin-1"))
    frame, reasons, _ = prepared(tmp_path / "t.csv", Columns(image=None, caption_ar=None))
    assert frame["caption_en"].to_list() == ["A man", "A woman"]
    assert reasons == {2: "row: not UTF-8 text; save the table as UTF-8"}


def test_columns_of_bytes_are_no_attributes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", [png(n) for n in range(3)], mask=[b"x", b"y", b"z"], city=["a", "b", "c"])
    frame, _, _ = prepared(tmp_path / "t.parquet")
    assert "mask" not in frame.columns and frame["city"].to_list() == sorted(frame["city"])


FAR = 2**62


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([[FAR], None], pa.list_(pa.timestamp("us"))),
        pa.array([[2**30], None], pa.list_(pa.date32())),
        pa.array([{"a": FAR}, None], pa.struct([("a", pa.timestamp("us"))])),
        pa.array([FAR, None], pa.duration("ms")),
        pa.array([1, None], pa.decimal256(50, 2)),
        pa.array([1, None], pa.timestamp("us", tz="Mars/Olympus")),
        pa.array([1, None], pa.timestamp("us", tz="+05:30")),
    ],
    ids=lambda cells: str(cells.type),
)
def test_an_attribute_that_cannot_be_read_is_left_out_with_a_note(tmp_path: Path, cells: pa.Array) -> None:
    pq.write_table(pa.table({"x": cells, "n": [1, 2], **captions(2)}), tmp_path / "t.parquet")
    columns = Columns(image=None)
    notes = look_at_table(table(tmp_path / "t.parquet", columns), tmp_path).notes
    frame, _, summary = prepared(tmp_path / "t.parquet", columns)
    assert frame.height == 2 and "x" not in frame.columns and "n" in frame.columns
    for found in (notes, summary["notes"]):
        assert any("cannot be read are left out as attributes: x (" in note for note in found)
    with pytest.raises(BadInput, match=r"column .x. .*image_id.* holds .* text"):
        prepared(tmp_path / "t.parquet", Columns(image=None, image_id="x"))


def test_durations_and_decimals_that_can_be_read_are_kept(tmp_path: Path) -> None:
    cells = {"took": pa.array([5, None], pa.duration("ms")), "cost": pa.array([1, None], pa.decimal128(9, 2))}
    pq.write_table(pa.table({**cells, **captions(2)}), tmp_path / "t.parquet")
    frame, _, _ = prepared(tmp_path / "t.parquet", Columns(image=None))
    assert {"took", "cost"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://x/1.png", "a web address"),
        ("abfs://x/1.png", "a web address"),
        ("s3://x/1.png", "a web address"),
        ("file:///x/1.png", "write the path without file://"),
        (str({"bytes": png(1), "path": None}), "a picture as Python prints it"),
        (str(png(1)), "a picture as Python prints it"),
        ("<PIL.PngImagePlugin.PngImageFile image mode=RGB size=8x8>", "a picture as Python prints it"),
        (base64.b64encode(png(1)).decode(), "a picture as base64 text"),
    ],
)
def test_a_text_that_is_no_path_names_the_cause(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    write_jsonl(tmp_path / "t.jsonl", rows_with(text))
    _, reasons, _ = prepared(tmp_path / "t.jsonl")
    assert list(reasons) == [2] and reasons[2].startswith("image: ") and reason in reasons[2]


@pytest.mark.parametrize("text", ["b'1.png", "data.png", "9j/1.png", "R0lGOD.gif"])
def test_a_file_with_an_odd_name_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "9j").mkdir()
    for name in ("0.png", text):
        (tmp_path / name).write_bytes(png(0))
    write_jsonl(tmp_path / "t.jsonl", rows_with(text))
    assert not prepared(tmp_path / "t.jsonl")[1]


@pytest.mark.parametrize("text", ["\0", "\7", "\u2800", "\u3164", "\u115f", "\u0301", "\u064e", "\u200b \u2060"])
def test_a_caption_in_which_nothing_is_seen_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    write_jsonl(tmp_path / "t.jsonl", rows_with(caption_en=text))
    assert prepared(tmp_path / "t.jsonl")[1] == {2: "caption_en: empty caption"}


def test_a_control_character_in_a_caption_drops_the_row(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    write_jsonl(tmp_path / "t.jsonl", rows_with(caption_en="A \0man"))
    assert prepared(tmp_path / "t.jsonl")[1] == {2: "caption_en: the control character U+0000; remove it"}
    write_jsonl(tmp_path / "t.jsonl", rows_with(caption_en="A\tman\nreads.", caption_ar="رجل\u200f"))
    assert not prepared(tmp_path / "t.jsonl")[1]


def test_a_parquet_column_named_twice_is_refused(tmp_path: Path) -> None:
    arrays = [pa.array(["A man"]), pa.array(["x"]), pa.array(["y"])]
    pq.write_table(pa.table(arrays, names=["caption_en", "n", "n"]), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=r"t\.parquet: not a readable Parquet file"):
        look_at_table(table(tmp_path / "t.parquet", Columns(image=None, caption_ar=None)), tmp_path)
