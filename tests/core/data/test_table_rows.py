"""Files that are written otherwise than a table is usually: read where there is no doubt, else named with the fix."""

from pathlib import Path

import pytest

from core.data.sample_frame import SCHEMA
from core.data.sources import source_files
from core.data.table_look import look_at_table
from core.errors import BadInput
from core.study.data import Columns
from tests.core.data.table_files import prepared, table

TEXT = Columns(image=None, caption_ar=None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "caption_en;note\nA man; tall;1\n".replace("; tall", ", tall")),
        ("t.csv", 'caption_en\tnote\nA man, tall\t"1"\n'),
        ("t.csv", "caption_en|note\nA man, tall|1\n"),
        ("t.csv", '"caption_en";"note"\n"A man, tall";"1"\n'),
        ("t.csv", "sep=;\ncaption_en;note\nA man, tall;1\n"),
        ("t.csv", "\ufeffcaption_en;note\r\nA man, tall;1\r\n"),
        ("t.tsv", "caption_en\tnote\nA man, tall\t1\n"),
        ("t.tsv", 'caption_en,note\n"A man, tall",1\n'),
        ("T.CSV", 'caption_en,note\n"A man, tall",1\n'),
    ],
)
def test_a_separator_without_doubt_is_taken(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    frame, reasons, _ = prepared(tmp_path / name, TEXT)
    assert not reasons
    assert frame.select("caption_en", "note").rows() == [("A man, tall", "1")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", b"caption_en;a|b\nx;y|z\n", "columns are separated by ';' or '|'; separate them by commas"),
        ("t.csv", b"id;caption_en,note\nx;y,z\n", "are its columns separated by ';'? save it with commas"),
        ("t.csv", "caption_en,b\nx,y\n".encode("utf-16"), "UTF-16 text"),
        ("t.csv", "caption_en,b\nx,y\n".encode("utf-16-be"), "UTF-16 text"),
        ("t.jsonl", '{"caption_en": "x"}\n'.encode("utf-16"), "UTF-16 text"),
        ("t.csv", b"PK\x03\x04rest", "not a table of text but a zip archive (an Excel file is one)"),
        ("t.csv", b"\x1f\x8b\x08rest", "not a table of text but packed with gzip"),
        ("t.csv", b"PAR1rest", "a Parquet file; let its name end in .parquet"),
        ("t.csv", b"<!DOCTYPE html><html>", "a web page, as a failed download leaves it"),
        ("t.jsonl", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("t.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("t.parquet", b"caption_en\nx\n", "not a readable Parquet file"),
        ("t.jsonl", b'[{"caption_en": "x"}]', "a JSON array, not JSON Lines; write one object per line"),
        ("t.jsonl", b'\n  [\n{"caption_en": "x"}\n]', "a JSON array, not JSON Lines"),
        ("t.jsonl", b'{\n"caption_en": "x"\n}', "an object over several lines"),
        ("t.jsonl", b'{"caption_en": {"0": "x", "1": "y"}}', "one object of whole columns"),
        ("t.jsonl", b"", "no column 'caption_en'"),
        ("t.json", b"[]", "write one object per line"),
        ("t.ndjson", b"", "let the name end in .jsonl"),
        ("t.csv.gz", b"", "unpack it first"),
        ("t.xlsx", b"", "save the sheet as CSV in UTF-8"),
        ("t.txt", b"", "let the name end in .tsv, or .csv where commas separate"),
        ("t.feather", b"", "write it as Parquet"),
        ("t.csv", ("x" * 40_000).encode(), "no column 'caption_en'"),
        ("t.csv", ",".join(f"column-{n}" for n in range(4000)).encode(), "no column 'caption_en'"),
        ("t.csv", ("x" * 40_000 + "," + "x" * 40_000).encode(), "is named twice"),
        ("t.jsonl", b"{" + b",".join(b'"%d": 1' % n for n in range(9000)) + b"}", "no column 'caption_en'"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_short_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    for ask in (source_files, look_at_table):
        with pytest.raises(BadInput) as caught:
            ask(table(tmp_path / name, TEXT), tmp_path)
        line = str(caught.value)
        assert reason in line and line.startswith(name)
        assert "\n" not in line and len(line) < 400


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").mkdir()
    with pytest.raises(BadInput, match=r"a folder; let data\.path name the table in it"):
        source_files(table(tmp_path / "t.parquet", TEXT), tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('["A man"]\n["A woman"]\n', "row 1: not a JSON object but an array"),
        ('"A man"\n', "row 1: not a JSON object but one value"),
        ("{'caption_en': 'A man'}\n", "a Python dict; write it by json.dumps"),
        ('{"caption_en": "A man"}\r{"caption_en": "A woman"}\r', "its lines end in CR only"),
        ('{"caption_en": "A man"}{"caption_en": "A woman"}\n', "several objects in one line"),
        ('{"caption_en": "A man"},\n{"caption_en": "A woman"},\n', "a comma after the object; remove it"),
        ('{"data": [{"caption_en": "A man"}]}\n', "one object whose rows are under 'data'"),
        ('{"info": {}, "annotations": [{"caption_en": "A man"}]}', "jq -c '.annotations[]'"),
    ],
)
def test_json_without_a_row_names_the_cause(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "t.jsonl").write_text(content, encoding="utf-8", newline="")
    with pytest.raises(BadInput) as found:
        look_at_table(table(tmp_path / "t.jsonl", TEXT), tmp_path)
    assert reason in str(found.value) and "write one object per line" in str(found.value)


@pytest.mark.parametrize(
    ("content", "further"),
    [
        (",caption_en,column_9\n0,A man,x\n", {"column_1": "0", "column_9": "x"}),
        (",caption_en,column_1\n0,A man,x\n", {"column_1_": "0", "column_1": "x"}),
        ("caption_en,note,,\nA man,x,,\n", {"note": "x"}),
        ("caption_en,note,,\nA man,x,,y\n", {"note": "x", "column_4": "y"}),
        ("\n\ncaption_en,note\nA man,x\n", {"note": "x"}),
        (",,\n\ncaption_en,note,\nA man,x,\n", {"note": "x"}),
        ("\r\ncaption_en;note;;\r\nA man;x;;\r\n", {"note": "x"}),
    ],
)
def test_columns_without_a_name_and_lines_above_the_header(
    tmp_path: Path, content: str, further: dict[str, str]
) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    frame, reasons, _ = prepared(tmp_path / "t.csv", TEXT)
    assert not reasons and frame["caption_en"].to_list() == ["A man"]
    assert {name: frame[name][0] for name in frame.columns if name not in SCHEMA} == further
