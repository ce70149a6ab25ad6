"""Pictures that stand in a Parquet table, and pictures whose names say little."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data import table_parquet
from core.data.sample_frame import Sample
from core.data.sources import source_files
from core.data.splits import Group
from core.data.table_look import look_at_table
from core.data.table_pictures import PictureCopier, Place
from core.errors import BadInput
from core.pictures import BrokenImage
from core.progress import silent
from core.study.data import Columns
from tests.core.data.table_files import DATASETS_IMAGE, captions, png, prepared, table, write_jsonl, write_parquet


def test_pictures_of_the_datasets_library_are_read(tmp_path: Path) -> None:
    images = [{"bytes": png(n), "path": f"{n}.png"} for n in range(16)]
    write_parquet(tmp_path / "t.parquet", images, DATASETS_IMAGE)
    frame, reasons, summary = prepared(tmp_path / "t.parquet")
    assert (reasons, summary["samples"], summary["images"]) == ({}, 16, 16)
    assert sorted(frame["image_id"]) == sorted(f"{n}.png" for n in range(16))
    for number, image in frame.select(pl.col("sample_id").cast(pl.Int64) - 1, "image").rows():
        assert (next(tmp_path.glob("out-*")) / image).read_bytes() == png(number)


def test_pictures_as_plain_bytes_are_read_and_equal_ones_are_one_image(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", [png(n % 4) for n in range(12)], pa.binary())
    frame, _, summary = prepared(tmp_path / "t.parquet")
    assert (summary["samples"], summary["images"]) == (12, 4)
    assert frame.group_by("image_id").agg(pl.col("image").n_unique(), pl.col("split").n_unique())["split"].max() == 1
    assert frame["image"].to_list() == [f"images/{image_id}.png" for image_id in frame["image_id"]]


def test_equal_bytes_are_one_image_and_one_path_may_be_many_pictures(tmp_path: Path) -> None:
    cells = [(1, "image.jpg"), (2, "image.jpg"), (1, "other.jpg"), (2, None)]
    images = [{"bytes": png(colour), "path": path} for colour, path in cells]
    write_parquet(tmp_path / "t.parquet", images, DATASETS_IMAGE)
    frame, reasons, _ = prepared(tmp_path / "t.parquet")
    ids = [image_id for _, image_id in sorted(frame.select("sample_id", "image_id").rows())]
    assert not reasons
    assert ids[0] == ids[2] == "image.jpg" and ids[1] == ids[3] != "image.jpg"


def test_without_bytes_the_path_counts(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "a.png").write_bytes(png(1))
    images = [
        {"bytes": None, "path": "beside/a.png"},
        {"bytes": png(2), "path": "a.png"},
        {"bytes": None, "path": "beside/missing.png"},
        None,
        {"bytes": b"", "path": "x.png"},
        {"bytes": b"junk", "path": None},
    ]
    write_parquet(tmp_path / "t.parquet", images, DATASETS_IMAGE)
    frame, reasons, _ = prepared(tmp_path / "t.parquet")
    assert sorted(frame["image_id"]) == ["a.png", "beside/a.png"]
    assert reasons[3] == "image: beside/missing.png: the file is missing"
    assert reasons[4] == "image: no image path"
    assert reasons[5] == "image: x.png: not a picture of a known format: an empty file"
    assert reasons[6].endswith("not a picture of a known format")
    source = table(tmp_path / "t.parquet")
    assert [path.name for path in source_files(source, tmp_path)] == ["t.parquet", "a.png"]
    assert look_at_table(source, tmp_path).unusable == {"image": 2}


def test_a_draw_copies_the_drawn_pictures_alone_and_replaces_broken_ones(tmp_path: Path) -> None:
    images = [png(n) if n % 5 else png(n)[:40] for n in range(40)]
    write_parquet(tmp_path / "t.parquet", images, pa.binary(), pair_id=[f"p{n // 3}" for n in range(40)])
    frame, reasons, summary = prepared(tmp_path / "t.parquet", num_samples=12)
    assert summary["samples"] == frame.height <= 12
    out = next(tmp_path.glob("out-*"))
    assert {f"images/{path.name}" for path in (out / "images").iterdir()} == set(frame["image"])
    assert all("not a whole picture" in reason for reason in reasons.values())
    again, _, _ = prepared(tmp_path / "t.parquet", num_samples=12)
    assert again.equals(frame)


def test_a_draw_is_the_same_whether_pictures_are_stored_or_files(tmp_path: Path) -> None:
    contents = [png(n) if n % 7 else b"broken %d" % n for n in range(30)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
    write_parquet(tmp_path / "stored.parquet", contents, pa.binary())
    write_parquet(tmp_path / "files.parquet", [f"{n}.png" for n in range(30)])
    drawn = [prepared(tmp_path / name, num_samples=10)[0] for name in ("stored.parquet", "files.parquet")]
    columns = ["sample_id", "image", "split"]
    one, other = (frame.select(columns).sort("sample_id") for frame in drawn)
    assert one["sample_id"].equals(other["sample_id"]) and one["image"].equals(other["image"])


def test_the_paths_of_a_table_are_found_without_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "t.parquet", [{"bytes": png(1), "path": "a.png"}], DATASETS_IMAGE)
    read: list[list[str]] = []
    whole = table_parquet._batches
    monkeypatch.setattr(table_parquet, "_batches", lambda *asked: (read.append(list(asked[1])), whole(*asked))[1])
    source_files(table(tmp_path / "t.parquet"), tmp_path)
    assert read == [["image.path"]]


@pytest.mark.parametrize(
    ("role", "values", "reason"),
    [
        ("image", [["a.png"]], r"'image' \(data\.columns\.image\) holds List\(String\); it must hold paths"),
        ("image", [7], r"'image' \(data\.columns\.image\) holds Int64; it must hold paths"),
        ("image", [{"src": "x"}], r"holds Struct\(\{'src': String\}\)"),
        ("image", [{"bytes": [1, 2], "path": "x"}], r"holds Struct"),
        ("caption_en", [7], r"'caption_en' \(data\.columns\.caption_en\) holds Int64; it must hold text"),
        ("caption_ar", [b"bytes"], r"'caption_ar' .* holds Binary; it must hold text"),
        ("caption_en", [["one", "two"]], r"holds List\(String\); it must hold text, one caption per row"),
        ("sample_id", [[1]], r"'sample_id' .* it must hold text or numbers"),
        ("pair", [b"x"], r"'pair' .* it must hold text or numbers"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(tmp_path: Path, role: str, values: list[object], reason: str) -> None:
    cells = {"image": ["a.png"], **captions(1), role: values}
    pq.write_table(pa.table(cells), tmp_path / "t.parquet")
    columns = Columns(**{role: role})
    for ask in (source_files, look_at_table):
        with pytest.raises(BadInput, match=reason) as caught:
            ask(table(tmp_path / "t.parquet", columns), tmp_path)
        assert len(str(caught.value)) < 300


def test_a_picture_is_called_by_its_content_whatever_its_name_ends_in(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(png(1))
    (tmp_path / "b.PNG").write_bytes(png(1))
    write_jsonl(tmp_path / "t.jsonl", [{"image": name, "caption_en": f"A man {name}"} for name in ("a.jpg", "b.PNG")])
    frame, _, _ = prepared(tmp_path / "t.jsonl", Columns(caption_ar=None))
    assert frame["image"].n_unique() == 1 and frame["image"][0].endswith(".png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="x">', "an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0", "a HEIC picture"),
        (b"%PDF-1.7", "a PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\xff\x0a\0\0", "a JPEG XL picture"),
        (b"II*\0\x08\0\0\0\0\0", "a TIFF of a pixel type that cannot be read"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    write_jsonl(tmp_path / "t.jsonl", [{"image": "a.jpg", "caption_en": "A man"}])
    with pytest.raises(BadInput, match="no usable sample"):
        prepared(tmp_path / "t.jsonl", Columns(caption_ar=None))
    with pytest.raises(BadInput, match=f"a.jpg: not a picture of a known format: {reason}"):
        prepared(tmp_path / "t.jsonl", Columns(caption_ar=None), max_dropped_fraction=0)


def test_the_reason_for_a_broken_picture_keeps_its_words_and_not_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1)[:-20])
    sample = Sample(1, "s", "i", "a.png", "A man.", None, None, None)
    copier = PictureCopier(Place(tmp_path / "t.csv", "image", {}), tmp_path / "out", [sample], silent, 1)
    assert copier.admit(Group((0,), "")) == []
    assert copier.drops[0].reason.startswith("a.png: not a whole picture (")
    (reason,) = copier._known.values()
    assert isinstance(reason, BrokenImage) and reason.__traceback__ is None and reason.__cause__ is None


def test_a_web_address_beside_a_pictures_bytes_is_its_name(tmp_path: Path) -> None:
    images = [{"bytes": png(n), "path": f"https://x/{n}.png"} for n in range(4)]
    write_parquet(tmp_path / "t.parquet", images, DATASETS_IMAGE)
    assert source_files(table(tmp_path / "t.parquet"), tmp_path)
    assert prepared(tmp_path / "t.parquet")[2]["samples"] == 4


def test_a_cell_that_is_only_a_web_address_drops_its_own_row(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    write_parquet(tmp_path / "t.parquet", ["0.png", "http://x/1.png"])
    assert source_files(table(tmp_path / "t.parquet"), tmp_path)
    _, reasons, summary = prepared(tmp_path / "t.parquet")
    assert (list(reasons), summary["samples"]) == ([2], 1)
