import json
from pathlib import Path

import polars as pl
import pytest

from core.data.samples import SCHEMA, analysed, capture_drops, prepare, read_samples
from core.progress import silent
from core.store.artifacts import DamagedArtifact
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


def test_samples_of_which_capture_dropped_a_caption_are_not_analysed(tmp_path: Path) -> None:
    drops = {"0": [("s1", "ar", "131 tokens"), ("s1", "en", "140 tokens")], "1": [], "2": [("s3", "en", "no image")]}
    for shard, some in drops.items():
        (tmp_path / shard).mkdir()
        listed = [dict(zip(("sample_id", "language", "reason"), drop)) for drop in some]
        (tmp_path / shard / "shard.json").write_text(json.dumps({"drops": listed}), encoding="utf-8")
    shards = [tmp_path / shard for shard in drops]
    samples = pl.DataFrame({"sample_id": [f"s{n}" for n in range(5)]})
    assert capture_drops(shards).rows() == [drop for some in drops.values() for drop in some]
    assert analysed(samples, capture_drops(shards))["sample_id"].to_list() == ["s0", "s2", "s4"]
    assert analysed(samples, capture_drops(shards[1:2])).equals(samples)
    with pytest.raises(DamagedArtifact, match=r"shard\.json: missing or not JSON"):
        capture_drops([tmp_path])


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
