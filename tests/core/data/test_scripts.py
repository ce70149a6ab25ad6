"""Captions in the script of another language are counted; a foreign name in a sentence is not."""

from pathlib import Path
from typing import Any

import pytest

from core.data.scripts import foreign_script
from core.data.table_look import TableLook, look_at_table
from core.study.data import Columns
from tests.core.data.table_files import captions, prepared, table, write_jsonl


@pytest.mark.parametrize(
    ("caption", "language", "script"),
    [
        ("A woman reads.", "en", None),
        ("امرأة تقرأ كتابا", "en", "Arabic"),
        ("A woman reads.", "ar", "Latin"),
        ("امرأة تقرأ كتابا", "ar", None),
        ("رجل يقود Mercedes-Benz", "ar", None),
        ("هاتف Samsung Galaxy على طاولة", "ar", None),
        ("A sign that says مرحبا.", "en", None),
        ("خاتون کتاب پڑھ رہی ہے", "ar", None),
        ("ﺍﻣﺮﺃﺓ ﺗﻘﺮﺃ", "ar", None),
        ("Ａ ｗｏｍａｎ", "en", None),
        ("Une femme âgée", "en", None),
        ("Женщина читает", "en", "Cyrillic"),
        ("一个女人在看书", "en", "CJK"),
        ("12 × 3 — 😀", "en", None),
        ("٣٤", "en", None),
        ("", "ar", None),
    ],
)
def test_the_script_of_a_caption(caption: str, language: str, script: str | None) -> None:
    assert foreign_script(caption, language) == script


def looked_at(folder: Path, rows: list[dict[str, Any]], columns: Columns) -> tuple[TableLook, Any]:
    write_jsonl(folder / "t.jsonl", rows)
    _, _, summary = prepared(folder / "t.jsonl", columns)
    return look_at_table(table(folder / "t.jsonl", columns), folder), summary


def rows_of(count: int) -> list[dict[str, str]]:
    texts = captions(count)
    return [{name: text[number] for name, text in texts.items()} for number in range(count)]


def test_captions_in_the_wrong_script_are_counted_with_their_rows(tmp_path: Path) -> None:
    rows = rows_of(20)
    for number in (2, 4, 6, 8, 10, 12):
        rows[number]["caption_ar"] = f"Only English {number}"
    rows[3]["caption_en"] = "عربي فقط"
    rows[5]["caption_en"] = "Слово"
    notes = [
        "column 'caption_en' (English): 1 of 20 rows (5.0%; rows 4) have captions in Arabic script; correct them, or "
        "the column",
        "column 'caption_en' (English): 1 of 20 rows (5.0%; rows 6) have captions in Cyrillic script; correct them, or "
        "the column",
        "column 'caption_ar' (Arabic): 6 of 20 rows (30.0%; rows 3, 5, 7, 9, 11, …) have captions in Latin script; "
        "correct them, or the column",
    ]
    look, summary = looked_at(tmp_path, rows, Columns(image=None))
    assert list(look.notes) == notes == summary["notes"]


def test_exchanged_columns_are_named_in_one_line(tmp_path: Path) -> None:
    look, summary = looked_at(
        tmp_path, rows_of(12), Columns(image=None, caption_en="caption_ar", caption_ar="caption_en")
    )
    assert list(look.notes) == summary["notes"]
    assert look.notes == [
        "columns 'caption_ar' and 'caption_en' look exchanged: 12 of 12 rows (100.0%; rows 1, 2, 3, 4, 5, …) have "
        "Arabic script for English and Latin for Arabic; exchange data.columns.caption_en and data.columns.caption_ar"
    ]


def test_one_language_in_the_other_ones_column_is_named(tmp_path: Path) -> None:
    columns = Columns(image=None, caption_en="caption_ar", caption_ar=None)
    look, _ = looked_at(tmp_path, rows_of(8), columns)
    assert look.notes[0].startswith("column 'caption_ar' (English): 8 of 8 rows (100.0%")


def test_a_table_without_such_captions_has_nothing_to_say(tmp_path: Path) -> None:
    look, summary = looked_at(tmp_path, rows_of(12), Columns(image=None))
    assert list(look.notes) == [] and summary["notes"] == []
