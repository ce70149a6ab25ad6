import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from core.data.samples import prepare, read_samples
from core.errors import BadInput
from core.progress import Stopped, silent
from core.study.data import Columns, TableSource

WOMAN = ("A woman reads her book.", "امرأة تقرأ كتابها.")
MAN = ("A man reads his book.", "رجل يقرأ كتابه.")


def picture(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour % 256, colour // 256, 0)).save(path)


def rows_of(folder: Path, count: int) -> list[dict[str, Any]]:
    """`count` rows, women and men in turn, each with a picture of its own."""
    rows = []
    for number in range(count):
        english, arabic = (WOMAN, MAN)[number % 2]
        english += f" It is number {number}."  # equal texts would share a split
        picture(folder / "pictures" / f"{number}.png", number)
        rows.append(
            {"id": f"s{number:03d}", "image": f"pictures/{number}.png", "caption_en": english, "caption_ar": arabic}
        )
    return rows


def write(folder: Path, rows: list[dict[str, Any]], ending: str = "jsonl") -> str:
    path = folder / f"table.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif ending == "csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    return path.name


def table(path: str, columns: Columns | None = None, **settings: Any) -> TableSource:
    columns = columns or Columns(sample_id="id")
    return TableSource(source="table", path=path, columns=columns, **settings)


def prepared(source: TableSource, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    out = folder / "out"
    out.mkdir()
    prepare(source, folder, out, silent)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return read_samples(out), pl.read_parquet(out / "dropped.parquet"), summary


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_table_becomes_samples_with_pictures_of_their_own(tmp_path: Path, ending: str) -> None:
    rows = [{**row, "age": number, "city": "Cairo"} for number, row in enumerate(rows_of(tmp_path, 8))]
    frame, dropped, summary = prepared(table(write(tmp_path, rows, ending)), tmp_path)
    assert frame["sample_id"].to_list() == [row["id"] for row in rows]
    assert dropped.height == 0
    assert frame["city"].unique().to_list() == ["Cairo"]
    assert frame["age"].cast(pl.Int64).to_list() == list(range(8))
    for name, image in zip((row["image"] for row in rows), frame["image"]):
        assert (tmp_path / "out" / image).read_bytes() == (tmp_path / name).read_bytes()
    assert frame["gender_en"].to_list() == frame["gender_ar"].to_list() == ["female", "male"] * 4
    assert summary["has_images"] and summary["languages"] == ["en", "ar"]
    assert summary["splits"] == {"train": 4, "select": 2, "test": 2}
    assert summary["genders"]["ar"]["female"] == 4


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, rows_of(tmp_path, 12))
    contents = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        prepare(table(path, num_samples=6, seed=3), tmp_path, out, silent)
        contents.append({p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1]
    assert len([name for name in contents[0] if name.startswith("images/")]) == 6


def test_every_bad_row_is_dropped_with_its_reason(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 12)
    (tmp_path / "pictures" / "1.png").unlink()
    (tmp_path / "pictures" / "2.png").write_bytes(b"no picture")
    whole = (tmp_path / "pictures" / "3.png").read_bytes()
    (tmp_path / "pictures" / "3.png").write_bytes(whole[:-20])
    rows[4]["caption_ar"] = " \u200f\u0640 "
    rows[5]["id"] = rows[0]["id"]
    rows[6]["caption_en"] = "x" * 301
    rows[7]["caption_en"] = 7
    rows[8]["image"] = None
    source = table(write(tmp_path, rows), max_caption_chars=300, max_dropped_fraction=1)
    frame, dropped, summary = prepared(source, tmp_path)
    assert sorted(frame["sample_id"]) == ["s000", "s009", "s010", "s011"]
    reasons = {row: (field, reason) for row, _, field, reason in dropped.iter_rows()}
    assert reasons == {
        2: ("image", "pictures/1.png: the file is missing"),
        3: ("image", "pictures/2.png: not a picture of a known format"),
        4: ("image", reasons[4][1]),
        5: ("caption_ar", "empty caption"),
        6: ("id", "the id 's000' stands in row 1 already"),
        7: ("caption_en", "301 characters, more than max_caption_chars = 300"),
        8: ("caption_en", "a caption is text, not int"),
        9: ("image", "no image path"),
    }
    assert reasons[4][1].startswith("pictures/3.png: not a whole picture")
    assert summary["dropped"] == 8 and summary["rows"] == 12 == summary["samples"] + summary["dropped"]
    assert summary["dropped_by_field"] == {"caption_ar": 1, "caption_en": 2, "id": 1, "image": 4}


def test_a_truncated_jpeg_is_seen(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 2)
    path = tmp_path / "pictures" / "0.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    rows[0]["image"] = "pictures/0.jpg"
    _, dropped, _ = prepared(table(write(tmp_path, rows), max_dropped_fraction=0.5), tmp_path)
    assert dropped["field"].to_list() == ["image"]


def test_too_many_drops_are_refused_by_row(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 10)
    rows[3]["caption_en"] = ""
    (tmp_path / "pictures" / "7.png").unlink()
    with pytest.raises(BadInput, match=r"2 rows dropped \(20\.0%.*row 4 \(caption_en: empty.*row 8 \(image: .*missing"):
        prepared(table(write(tmp_path, rows)), tmp_path)


def test_a_missing_column_is_named_with_the_nearest_match(tmp_path: Path) -> None:
    path = write(tmp_path, rows_of(tmp_path, 2), "csv")
    columns = Columns(sample_id="id", caption_en="caption_eng")
    with pytest.raises(BadInput) as caught:
        prepared(table(path, columns), tmp_path)
    message = str(caught.value)
    assert "no column 'caption_eng' (data.columns.caption_en); did you mean 'caption_en'?" in message
    assert message.endswith("the table's columns: id, image, caption_en, caption_ar")


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_only_a_table_with_separators_is_asked_for_its_separator(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, [{"id": 1, "size, height; width": 2, "caption_ar": "رجل"}], ending)
    with pytest.raises(BadInput, match="no column 'caption_en'") as caught:
        prepared(table(path, Columns(image=None)), tmp_path)
    assert "separated" not in str(caught.value) and "did you mean 'caption_ar'?" in str(caught.value)


def test_several_captions_of_one_image_are_one_unit(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 6)
    again = [{**row, "id": row["id"] + "b"} for row in rows]
    frame, _, summary = prepared(table(write(tmp_path, rows + again)), tmp_path)
    assert (summary["samples"], summary["images"]) == (12, 6)
    assert frame.group_by("image_id").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 6
    assert len(list((tmp_path / "out" / "images").iterdir())) == 6


def test_equal_pictures_under_two_names_share_a_split(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 8)
    for row in rows:
        (tmp_path / row["image"]).write_bytes((tmp_path / rows[0]["image"]).read_bytes())
    frame, _, _ = prepared(table(write(tmp_path, rows)), tmp_path)
    assert frame["split"].n_unique() == 1


def test_one_image_id_is_one_picture(tmp_path: Path) -> None:
    rows = [{**row, "photo": "p"} for row in rows_of(tmp_path, 2)]
    columns = Columns(sample_id="id", image_id="photo")
    _, dropped, _ = prepared(table(write(tmp_path, rows), columns, max_dropped_fraction=1), tmp_path)
    assert dropped["reason"].to_list() == ["'p' is another picture in row 1"]


def test_twins_of_the_table_share_a_split_and_widows_lose_their_twin(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 8)
    for first, second in ((0, 1), (2, 3), (4, 5)):
        rows[first]["twin_id"], rows[second]["twin_id"] = rows[second]["id"], rows[first]["id"]
    rows[6]["twin_id"] = "nobody"
    frame, _, _ = prepared(table(write(tmp_path, rows)), tmp_path)
    split = dict(frame.select("sample_id", "split").iter_rows())
    assert split["s000"] == split["s001"] and split["s002"] == split["s003"]
    assert dict(frame.select("sample_id", "twin_id").iter_rows())["s006"] is None


def test_a_draw_is_stratified_by_gender_and_replaces_broken_pictures(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 40)
    for number in range(0, 40, 10):
        (tmp_path / rows[number]["image"]).unlink()
    source = table(write(tmp_path, rows), num_samples=20, max_dropped_fraction=0.5)
    frame, _, summary = prepared(source, tmp_path)
    assert summary["samples"] == 20
    assert summary["genders"]["en"]["female"] == summary["genders"]["en"]["male"] == 10
    assert set(frame["split"]) == {"train", "select", "test"}


def test_a_study_of_text_in_one_language_is_legal(tmp_path: Path) -> None:
    rows = [{"text": WOMAN[0]}, {"text": MAN[0]}, {"text": "Rain."}]
    columns = Columns(image=None, caption_en="text", caption_ar=None)
    frame, _, summary = prepared(table(write(tmp_path, rows), columns), tmp_path)
    assert (summary["has_images"], summary["languages"]) == (False, ["en"])
    assert frame["sample_id"].to_list() == frame["image_id"].to_list() == ["00000001", "00000002", "00000003"]
    assert frame["gender_en"].to_list() == ["female", "male", "none"]
    assert frame["gender_ar"].is_null().all() and frame["image"].is_null().all()


def test_broken_lines_are_rows_that_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(
        b'{"caption_en": "a"}\n\n{"caption_en": \n[1]\n{"caption_en": "\\ud800"}\n{"caption_en": "\xff"}\n'
    )
    columns = Columns(image=None, caption_ar=None)
    frame, dropped, _ = prepared(table("t.jsonl", columns, max_dropped_fraction=1), tmp_path)
    assert frame.height == 1
    assert dropped["row"].to_list() == [2, 3, 4, 5]
    assert dropped["field"].to_list() == ["row"] * 4


def test_a_misquoted_csv_row_is_dropped_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('caption_en,note\na,1\n"b"c,2\nd,3\n')
    columns = Columns(image=None, caption_ar=None)
    frame, dropped, _ = prepared(table("t.csv", columns, max_dropped_fraction=1), tmp_path)
    assert frame["caption_en"].to_list() == ["a", "d"]
    assert dropped["row"].to_list() == [2]


def test_csv_rows_of_the_wrong_length_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeffcaption_en,note\n"a, b\nc",1\nd\ne,2,3\n', encoding="utf-8")
    columns = Columns(image=None, caption_ar=None)
    frame, dropped, _ = prepared(table("t.csv", columns, max_dropped_fraction=1), tmp_path)
    assert frame["caption_en"].to_list() == ["a, b\nc"]
    assert dropped["reason"].to_list() == ["1 fields where the header has 2", "3 fields where the header has 2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"caption_en,caption_en\n", "named twice"),
        ("t.csv", b"caption_en\n\xff\xfe\n", "not UTF-8"),
        ("t.csv", b'caption_en,b\na,1\n"b,2\nc,3\n', "line 3: a quote is opened and never closed"),
        ("t.parquet", b"PAR1", "not a readable Parquet file"),
        ("t.xlsx", b"", r"a table ends in \.csv, \.parquet, \.jsonl"),
        ("t.csv", b"caption_en\n", "no usable sample in 0 rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        prepared(table(name, Columns(image=None, caption_ar=None)), tmp_path)
    assert "\n" not in str(caught.value)


def test_attributes_keep_their_types_and_never_overwrite_our_columns(tmp_path: Path) -> None:
    rows = [
        {
            "caption_en": "a",
            "split": "mine",
            "source_split": "too",
            "mixed": 1,
            "number": 1,
            "box": [1, 2],
            "huge": 2**70,
        },
        {"caption_en": "b", "split": "mine", "mixed": "x", "number": 2.5, "box": [3], "huge": 1},
    ]
    frame, _, _ = prepared(table(write(tmp_path, rows), Columns(image=None, caption_ar=None)), tmp_path)
    assert set(frame["split"]) <= {"train", "select", "test"}
    assert frame["source_source_split"].to_list() == ["mine", "mine"]
    assert frame["source_split"].to_list() == ["too", None]
    assert frame["mixed"].to_list() == ["1", "x"]
    assert frame["number"].to_list() == [1.0, 2.5]
    assert frame["box"].to_list() == ["[1, 2]", "[3]"]
    assert frame["huge"].to_list() == [str(2**70), "1"]


def test_progress_is_reported_and_can_stop_the_work(tmp_path: Path) -> None:
    path = write(tmp_path, rows_of(tmp_path, 4))
    seen: list[tuple[int, int]] = []

    def watch(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        seen.append((done, total))
        if done == 3:
            raise Stopped

    (tmp_path / "out").mkdir()
    with pytest.raises(Stopped):
        prepare(table(path), tmp_path, tmp_path / "out", watch)
    assert seen == [(1, 4), (2, 4), (3, 4)]
