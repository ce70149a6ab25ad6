import json
from pathlib import Path

import polars as pl

from core.data.samples import SCHEMA, prepare, read_samples
from core.progress import silent
from core.study.data import Columns, SceneSource, TableSource


def test_scenes_are_samples_of_the_common_schema(tmp_path: Path) -> None:
    summary = prepare(SceneSource(source="scenes", num_samples=16, seed=1), Path(), tmp_path, silent)
    frame = read_samples(tmp_path)
    assert {name: frame.schema[name] for name in SCHEMA} == SCHEMA
    assert frame.height == summary.samples == summary.images == 16
    assert frame.select("image_id", "sample_id").equals(frame.select("image_id", "sample_id").sort(pl.all()))
    assert all((tmp_path / image).is_file() for image in frame["image"])
    assert (tmp_path / "truth.json").is_file()
    assert pl.read_parquet(tmp_path / "dropped.parquet").height == 0


def test_the_summary_on_disk_counts_what_the_table_holds(tmp_path: Path) -> None:
    prepare(SceneSource(source="scenes", num_samples=16, seed=1), Path(), tmp_path, silent)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    frame = read_samples(tmp_path)
    assert summary["has_images"] is True and summary["languages"] == ["en", "ar"]
    for split, count in summary["splits"].items():
        assert count == frame.filter(pl.col("split") == split)["image_id"].n_unique()
    for language in ("en", "ar"):
        counts = {gender: count for gender, count in summary["genders"][language].items() if count}
        assert counts == dict(frame[f"gender_{language}"].value_counts().iter_rows())


def test_prepare_is_the_same_every_time(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(SceneSource(source="scenes", num_samples=8, seed=1), Path(), tmp_path / name, silent)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


def test_captions_that_allow_another_gender_are_counted_and_listed(tmp_path: Path) -> None:
    rows = [
        "A pregnant person waits.",
        "A woman reads.",
        "A cow licks a calf and nuzzles her.",
        "A mother and her kittens nap.",
    ]
    pl.DataFrame({"text": rows}).write_csv(tmp_path / "table.csv")
    (tmp_path / "out").mkdir()
    columns = Columns(image=None, caption_en="text", caption_ar=None)
    source = TableSource(source="table", path="table.csv", columns=columns)
    summary = prepare(source, tmp_path, tmp_path / "out", silent)
    listed = pl.read_parquet(tmp_path / "out" / "ambiguous.parquet")
    assert summary.ambiguous == {"en": 3}
    assert dict(listed.select("caption", "gender").iter_rows()) == {
        "A pregnant person waits.": "neutral",
        "A cow licks a calf and nuzzles her.": "none",
        "A mother and her kittens nap.": "none",
    }
    labels = dict(read_samples(tmp_path / "out").select("caption_en", "gender_en").iter_rows())
    assert all(labels[caption] == gender for caption, gender in listed.select("caption", "gender").iter_rows())
