"""The table that accepted drafts are appended to."""

from pathlib import Path

import polars as pl
import pytest

from core.concepts.drafting import Draft
from core.concepts.sentence_file import SentenceFile
from core.errors import BadInput

HEADER = "sentence,concept_strength_label,source,family\n"
DRAFT = Draft('She said "no", twice.', 2, "gate")


def test_nothing_is_written_before_something_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    opened = SentenceFile.open(path)
    assert not path.exists() and opened.texts == []
    opened.append(DRAFT, "drafted")
    assert path.read_text("utf-8") == HEADER + '"She said ""no"", twice.",2,drafted,gate\n'
    again = SentenceFile.open(path)
    assert (again.texts, again.families) == ([DRAFT.text], ["gate"])


def test_what_is_there_stays_to_the_byte_and_further_columns_are_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    there = "\ufefffamily,author,sentence,concept_strength_label,source\r\nriver,me,He waits.,3,"
    path.write_bytes(there.encode())
    SentenceFile.open(path).append(DRAFT, "drafted")
    assert path.read_bytes().startswith(there.encode())
    table = pl.read_csv(path)
    assert table.rows() == [("river", "me", "He waits.", 3, None), ("gate", None, DRAFT.text, 2, "drafted")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.parquet", "", r"t\.parquet: drafts are appended to a \.csv"),
        (
            "t.csv",
            "sentence,concept_strength_label,family\nA,1,b\n",
            r"t\.csv: no column 'source', which a draft fills",
        ),
        ("t.csv", HEADER.replace(",", ";") + "A;1;b;c\n", r"t\.csv: .*save it with commas"),
        ("t.csv", "\n" + HEADER, r"t\.csv: .*save it with commas"),
        ("t.csv", HEADER + "A,1,b\n", r"t\.csv, row 1: 3 fields where the header has 4"),
        ("t.csv", HEADER + 'A,1,b,c\n"B,1,b,c\n', r"t\.csv, line 3: a quote is opened and never closed"),
    ],
)
def test_a_table_that_cannot_be_appended_to_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        SentenceFile.open(tmp_path / name)
