"""What `saeflow plan` says of a table is what `prepare` then finds."""

from pathlib import Path
from typing import Any

import pytest

from core.data.drops import row_counts
from core.data.table_look import look_at_table
from core.errors import BadInput
from core.study.data import Columns
from tests.core.data.table_files import captions, png, prepared, table, write_jsonl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """20 rows: one without a caption, two whose picture is not there, one whose picture is broken."""
    texts = captions(20)
    rows: list[dict[str, Any]] = [
        {"image": f"{n}.png", **{name: text[n] for name, text in texts.items()}} for n in range(20)
    ]
    for number in range(20):
        if number not in (4, 5):
            (tmp_path / f"{number}.png").write_bytes(png(number) if number != 9 else b"broken")
    rows[7]["caption_en"] = ""
    write_jsonl(tmp_path / "t.jsonl", rows)
    return tmp_path / "t.jsonl"


def test_the_tables_length_and_the_most_samples_are_read(path: Path) -> None:
    look = look_at_table(table(path), path.parent)
    assert (look.rows, look.unusable, look.most_samples, list(look.notes)) == (
        20,
        {"caption_en": 1, "image": 2},
        17,
        [],
    )
    assert look.most_samples + sum(look.unusable.values()) == look.rows
    _, _, summary = prepared(path)
    assert summary["samples"] == 16 <= look.most_samples
    assert summary["samples"] + summary["dropped"] == look.rows


@pytest.mark.parametrize(("asked", "most"), [(5, 5), (17, 17), (1000, 17)])
def test_a_draw_gives_no_more_than_it_is_asked_for(path: Path, asked: int, most: int) -> None:
    assert look_at_table(table(path, num_samples=asked), path.parent).most_samples == most


def test_more_faults_than_the_study_allows_are_named_before_anything_runs(path: Path) -> None:
    look = look_at_table(table(path, max_dropped_fraction=0.1), path.parent)
    assert look.notes == [
        "15.0% of the rows cannot be used, more than data.max_dropped_fraction = 0.1 allows: preparing the samples "
        "will fail and name the rows"
    ]


@pytest.mark.parametrize("asked", [None, 8])
def test_rows_samples_left_out_and_not_drawn_add_up(path: Path, asked: int | None) -> None:
    _, _, summary = prepared(path, num_samples=asked)
    counts = row_counts(summary, left_out=2)
    assert counts["rows"] == 20
    assert counts["samples"] + counts["left out"] + counts.get("not drawn", 0) == counts["rows"]
    assert ("not drawn" in counts) == (asked is not None)
    assert counts["samples"] == summary["samples"] - 2


@pytest.mark.parametrize(("bad", "rows", "limit"), [(1, 20, 0.05), (3, 20, 0.15), (3, 10, 0.3), (7, 100, 0.07)])
@pytest.mark.parametrize("missing", [0, 1])
def test_dropping_exactly_the_allowed_share_is_allowed(
    tmp_path: Path, bad: int, rows: int, limit: float, missing: int
) -> None:
    texts = captions(rows)
    (tmp_path / "0.png").write_bytes(png(0))
    cells: list[dict[str, Any]] = [{"image": "0.png", **{k: text[n] for k, text in texts.items()}} for n in range(rows)]
    for number in range(bad):
        cells[number]["caption_en"] = ""
    if missing:
        cells[0] = {**cells[0], "caption_en": "A woman.", "image": "none.png"}
    write_jsonl(tmp_path / "t.jsonl", cells)
    source = table(tmp_path / "t.jsonl", max_dropped_fraction=limit)
    assert not any("cannot be used" in note for note in look_at_table(source, tmp_path).notes)
    _, _, summary = prepared(tmp_path / "t.jsonl", max_dropped_fraction=limit)
    assert summary["dropped"] == bad
    with pytest.raises(BadInput, match="rows dropped"):
        prepared(tmp_path / "t.jsonl", max_dropped_fraction=limit - 0.001)


def test_fewer_samples_than_the_smallest_group_has_are_named(tmp_path: Path) -> None:
    texts = captions(6)
    rows = [{"pair_id": n // 2, **{name: text[n] for name, text in texts.items()}} for n in range(6)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    message = "data.num_samples = 1 is smaller than the smallest group"
    notes = look_at_table(table(tmp_path / "t.jsonl", Columns(image=None), num_samples=1), tmp_path).notes
    assert any(note.startswith(message) for note in notes)
    with pytest.raises(BadInput, match=rf"t.jsonl: {message}.*of 2 rows; ask for 2"):
        prepared(tmp_path / "t.jsonl", Columns(image=None), num_samples=1)
