"""Pairs of the user's own: one split, counterparts where the genders are opposite; equal texts stay together."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.data.table_look import look_at_table
from core.errors import BadInput
from core.study.data import Columns
from tests.core.data.table_files import prepared, table, write_jsonl

PEOPLE = ("woman", "man")
ARABIC = {"woman": "امرأة", "man": "رجل"}


def row(number: int, person: str, **cells: Any) -> dict[str, Any]:
    texts = {"caption_en": f"A {person} in room {number}.", "caption_ar": f"{ARABIC[person]} في الغرفة {number}."}
    return {"id": f"s{number:02d}", **texts, **cells}


def split_of(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("sample_id", "split").iter_rows())


def twins_of(frame: pl.DataFrame) -> dict[str, str | None]:
    return dict(frame.select("sample_id", "twin_id").iter_rows())


@pytest.mark.parametrize(("column", "named"), [("scene", "scene"), ("pair_id", None), ("pair_id", "pair_id")])
@pytest.mark.parametrize("values", [str, int])
def test_two_rows_of_opposite_gender_are_counterparts(
    tmp_path: Path, column: str, named: str | None, values: Any
) -> None:
    rows = [row(n, PEOPLE[n % 2], **{column: values(n // 2)}) for n in range(24)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    columns = Columns(sample_id="id", image=None, pair=named)
    frame, _, summary = prepared(tmp_path / "t.jsonl", columns)
    twins, split = twins_of(frame), split_of(frame)
    for first in range(0, 24, 2):
        one, other = f"s{first:02d}", f"s{first + 1:02d}"
        assert (twins[one], twins[other]) == (other, one)
        assert split[one] == split[other]
    assert summary["notes"] == [
        "pairs: 12 of two samples of opposite gender are counterparts; 0 of two others and 0 of more than two only "
        "share a split; 0 samples stand alone in theirs"
    ]
    assert frame["pair_id"].n_unique() == 12 and (column == "pair_id" or column not in frame.columns)


def test_groups_of_other_sizes_and_genders_share_a_split_and_are_counted(tmp_path: Path) -> None:
    people = ["woman", "man", "man", "man", "woman", "woman", "man", "woman", "man"]
    scenes = ["a", "a", "b", "b", "c", "c", "c", "d", None]
    write_jsonl(tmp_path / "t.jsonl", [row(n, people[n], scene=scenes[n]) for n in range(9)])
    columns = Columns(sample_id="id", image=None, pair="scene")
    frame, _, summary = prepared(tmp_path / "t.jsonl", columns)
    assert {own for own, twin in twins_of(frame).items() if twin} == {"s00", "s01"}
    assert frame.drop_nulls("pair_id").group_by("pair_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert summary["notes"][0] == (
        "pairs: 1 of two samples of opposite gender are counterparts; 1 of two others and 1 of more than two only "
        "share a split; 1 samples stand alone in theirs"
    )
    assert look_at_table(table(tmp_path / "t.jsonl", columns), tmp_path).notes[0] == (
        "pairs: 2 of two samples, 1 of more, 1 samples alone in theirs"
    )


def test_a_named_pair_column_leaves_the_tables_pair_id_an_attribute(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [row(n, PEOPLE[n % 2], scene=n // 2, pair_id=7) for n in range(4)])
    frame, _, _ = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None, pair="scene"))
    assert frame["source_pair_id"].to_list() == [7] * 4
    assert frame["pair_id"].to_list() == ["0", "0", "1", "1"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_tables_pair_id_takes_no_other_columns_name(tmp_path: Path, ending: str) -> None:
    rows = [row(n, PEOPLE[n % 2], scene=n // 2, pair_id=7, source_pair_id="x") for n in range(4)]
    path = tmp_path / f"t.{ending}"
    {"jsonl": pl.DataFrame(rows).write_ndjson, "parquet": pl.DataFrame(rows).write_parquet}[ending](path)
    frame, _, _ = prepared(path, Columns(sample_id="id", image=None, pair="scene"))
    assert frame.select("source_pair_id", "source_source_pair_id").unique().rows() == [("x", 7)]


def test_twins_hold_for_both_and_what_names_nobody_is_counted(tmp_path: Path) -> None:
    named = {0: "s01", 2: "s03", 3: "s02", 4: "nobody", 5: "s05", 6: "nobody"}
    write_jsonl(tmp_path / "t.jsonl", [row(n, PEOPLE[n % 2], twin_id=named.get(n)) for n in range(12)])
    frame, _, summary = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None))
    twins, split = twins_of(frame), split_of(frame)
    assert {own: twin for own, twin in twins.items() if twin} == {
        **{"s00": "s01", "s01": "s00"},
        **{"s02": "s03", "s03": "s02"},
    }
    assert split["s00"] == split["s01"] and split["s02"] == split["s03"]
    assert summary["notes"][0] == (
        "twins: 4 samples have the twin that the table names; 3 twin_id name no other sample "
        "(they are values of data.columns.sample_id)"
    )


def test_a_name_that_many_give_for_no_twin_ties_nobody(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [row(n, PEOPLE[n % 2], twin_id="-") for n in range(40)])
    frame, _, _ = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None), num_samples=20)
    assert frame.height == 20 and frame["split"].value_counts().sort("split")["count"].to_list() == [5, 5, 10]


def test_a_draw_takes_whole_pairs(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [row(n, PEOPLE[n % 2], scene=n // 2) for n in range(60)])
    columns = Columns(sample_id="id", image=None, pair="scene")
    frame, _, _ = prepared(tmp_path / "t.jsonl", columns, num_samples=20)
    assert frame.height == 20 and frame["twin_id"].null_count() == 0


def test_equal_texts_share_a_split_and_are_drawn_one_by_one(tmp_path: Path) -> None:
    spelt = ("A woman reads.", "a  WOMAN reads", "A woman\u00a0reads!", "A wo\u200bman reads.")
    rows = [row(n, "man") for n in range(30)]
    for number, text in enumerate(spelt):
        rows[number] |= {"caption_en": text, "caption_ar": ("امرأة تقرأ", "اِمرأةٌ تقرأ.")[number % 2]}
    write_jsonl(tmp_path / "t.jsonl", rows)
    columns = Columns(sample_id="id", image=None)
    frame, _, _ = prepared(tmp_path / "t.jsonl", columns)
    assert len({split_of(frame)[f"s{n:02d}"] for n in range(4)}) == 1
    drawn, _, _ = prepared(tmp_path / "t.jsonl", columns, num_samples=3)
    assert drawn.height == 3


def test_texts_that_are_equal_in_one_language_alone_do_not_share_a_split(tmp_path: Path) -> None:
    rows = [{**row(n, "man"), "caption_ar": "رجل"} for n in range(12)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    frame, _, summary = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None))
    assert set(frame["split"]) == {"train", "select", "test"} and summary["notes"] == []
    frame, _, summary = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None, caption_en=None))
    assert frame["split"].n_unique() == 1
    assert summary["notes"] == [
        "splits: train 100% of 50%, select 0% of 25%, test 0% of 25%; what has equal captions or pictures, or is a "
        "pair, stays together"
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_integers_beside_nulls_are_the_ids_they_stand_for(tmp_path: Path, ending: str) -> None:
    rows = [{**row(n, PEOPLE[n % 2]), "id": n} for n in range(6)]
    frame = pl.DataFrame(rows).with_columns(
        twin_id=pl.Series([1.0, None, 3.0, 2.0, None, None]), pair_id=pl.Series([None] * 4 + [7.0, 7.0])
    )
    path = tmp_path / f"t.{ending}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[ending](path)
    columns = Columns(sample_id="id", image=None)
    assert not any("twins" in note for note in look_at_table(table(path, columns), tmp_path).notes)
    assert twins_of(prepared(path, columns)[0]) == {str(n): str(n ^ 1) for n in range(6)}


def test_one_and_one_point_nought_are_one_pair(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [row(0, "woman", pair_id=1), row(1, "man", pair_id=1.0)])
    frame, _, _ = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None))
    assert twins_of(frame) == {"s00": "s01", "s01": "s00"}


def test_a_twin_of_equal_gender_or_that_others_claim_only_shares_the_split(tmp_path: Path) -> None:
    rows = [
        row(0, "woman", twin_id="s01"),
        row(1, "woman"),
        row(2, "woman", twin_id="s03"),
        row(3, "man"),
        row(4, "woman", twin_id="s03"),
        row(5, "woman", twin_id="s06"),
        row(6, "man"),
        *[row(n, "man", twin_id="nobody" if n == 7 else None) for n in range(7, 16)],
    ]
    write_jsonl(tmp_path / "t.jsonl", rows)
    columns = Columns(sample_id="id", image=None)
    frame, _, summary = prepared(tmp_path / "t.jsonl", columns)
    assert {own: twin for own, twin in twins_of(frame).items() if twin} == {"s05": "s06", "s06": "s05"}
    split = split_of(frame)
    assert split["s00"] == split["s01"] and split["s02"] == split["s03"] == split["s04"]
    assert any(
        note.startswith("twins: 2 samples have the twin that the table names; 3 twin_id only share a split")
        and "1 twin_id name no other sample" in note
        for note in summary["notes"]
    )
    assert "1 twin_id name no other sample" in look_at_table(table(tmp_path / "t.jsonl", columns), tmp_path).notes[0]


def test_a_pair_whose_samples_have_other_twins_is_not_counted_as_counterparts(tmp_path: Path) -> None:
    scenes, twins = ["a", "a", "b", "b", "c"], {0: "s03", 3: "s00"}
    rows = [row(n, PEOPLE[n % 2], pair_id=scenes[n], twin_id=twins.get(n)) for n in range(5)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    frame, _, summary = prepared(tmp_path / "t.jsonl", Columns(sample_id="id", image=None))
    assert {own: twin for own, twin in twins_of(frame).items() if twin} == {"s00": "s03", "s03": "s00"}
    assert summary["notes"][:2] == [
        "pairs: 0 of two samples of opposite gender are counterparts; 2 of two others and 0 of more than two only "
        "share a split; 1 samples stand alone in theirs",
        "twins: 2 samples have the twin that the table names",
    ]


@pytest.mark.parametrize("column", ["pair_id", "twin_id"])
@pytest.mark.parametrize("cell", [b"x", ["x"], {"a": "x"}])
def test_a_pair_or_twin_that_is_no_name_is_refused_once(tmp_path: Path, column: str, cell: Any) -> None:
    pl.DataFrame([row(n, PEOPLE[n], **{column: cell}) for n in range(2)]).write_parquet(tmp_path / "t.parquet")
    columns = Columns(sample_id="id", image=None)
    message = f"column '{column}' holds .*; it must hold text or numbers, or rename it"
    with pytest.raises(BadInput, match=message):
        look_at_table(table(tmp_path / "t.parquet", columns), tmp_path)
    with pytest.raises(BadInput, match=message):
        prepared(tmp_path / "t.parquet", columns)
