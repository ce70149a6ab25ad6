"""Labelled sentences: what is kept, what belongs together, and what is refused in one line."""

import csv
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, strategies

from core.concepts.families import LABELS, PARTS, split_families
from core.concepts.near_duplicates import Known, near_duplicates, same_text
from core.concepts.sentences import SCHEMA, load, read_sentences, save
from core.errors import BadInput
from core.study.scan import ConceptConfig

CONCEPT = ConceptConfig(name="calm", description="Calm is calm.", sentences="calm.csv")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def rows(each: int = 10) -> list[dict[str, Any]]:
    """Sentences without anything in common, so many per label."""
    drawn = random.Random(0)
    texts = [" ".join("".join(drawn.choices(LETTERS, k=6)) for _ in range(4)) for _ in range(4 * each)]
    return [{"sentence": text, "concept_strength_label": n % 4} for n, text in enumerate(texts)]


def write(path: Path, table: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def test_the_table_has_its_schema_and_further_columns_in_the_files_order(tmp_path: Path) -> None:
    given_rows = [row | {"author": f"a{n}", "label": "own"} for n, row in enumerate(rows())]
    table = read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)
    assert dict(table.schema) == dict(SCHEMA) | {"author": pl.String, "source_label": pl.String}
    assert table["sentence_id"].to_list() == [f"s{n:04d}" for n in range(40)]
    assert table["sentence"].to_list() == [row["sentence"] for row in given_rows]
    assert table["label"].to_list() == [row["concept_strength_label"] for row in given_rows]
    assert table["family"].to_list() == table["sentence_id"].to_list()
    assert table["author"][3] == "a3" and set(table["source_label"]) == {"own"}


def test_parquet_gives_the_same_table_with_its_types(tmp_path: Path) -> None:
    given_rows = [row | {"weight": n / 2, "raw": b"x"} for n, row in enumerate(rows())]
    path = tmp_path / "t.parquet"
    floats = pl.DataFrame(given_rows).with_columns(pl.col("concept_strength_label").cast(pl.Float64))
    floats.write_parquet(path)
    table = read_sentences(path, CONCEPT)
    plain = read_sentences(write(tmp_path / "t.csv", rows()), CONCEPT)
    assert table.drop("weight").equals(plain)  # bytes are left out
    assert table.schema["weight"] == pl.Float64


def test_what_is_saved_is_loaded_and_nothing_else_is(tmp_path: Path) -> None:
    table = read_sentences(write(tmp_path / "t.csv", rows()), CONCEPT)
    save(table, tmp_path / "sentences.parquet")
    assert load(tmp_path / "sentences.parquet").equals(table)
    save(table.with_columns(pl.col("label").cast(pl.Int64)), tmp_path / "wide.parquet")
    with pytest.raises(BadInput, match=r"wide\.parquet: no column 'label' of Int8"):
        load(tmp_path / "wide.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"cut\.parquet: cannot be read"):
        load(tmp_path / "cut.parquet")


def test_control_tokens_in_a_sentence_are_text(tmp_path: Path) -> None:
    given_rows = rows()
    given_rows[0]["sentence"] = "  <bos><start_of_turn>user says hello<end_of_turn></s> <|im_start|>, he wrote  "
    table = read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)
    assert table["sentence"][0] == given_rows[0]["sentence"].strip()


def test_near_duplicates_join_families_and_are_never_parted(tmp_path: Path) -> None:
    given_rows = [row | {"family": ""} for row in rows(20)]
    given_rows[0] |= {"sentence": "The old woman waited at the gate for her brother.", "family": "gate"}
    given_rows[5] |= {"sentence": "The old woman waits at the gate for her brother.", "family": ""}
    given_rows[9] |= {"family": "gate"}
    given_rows[14] |= {"sentence": "An old woman waited at the gate for her brother!", "family": "brother"}
    for seed in range(20):
        table = read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT.model_copy(update={"seed": seed}))
        joined = table.filter(pl.col("family") == "gate")
        assert joined["sentence_id"].to_list() == ["s0000", "s0005", "s0009", "s0014"]
        assert joined["split"].n_unique() == 1
        assert table["family"].n_unique() == 77


def test_a_family_of_ones_own_takes_no_name_that_the_file_uses(tmp_path: Path) -> None:
    given_rows = [row | {"family": ""} for row in rows()]
    given_rows[7]["family"] = "s0002"
    table = read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)
    assert table["family"].n_unique() == 40 and table["family"][2] == "s0002_"


def test_the_seed_alone_decides_the_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows())
    first, other = (read_sentences(path, CONCEPT.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert first.equals(read_sentences(path, CONCEPT))
    assert not first["split"].equals(other["split"])


@given(
    strategies.lists(strategies.tuples(strategies.integers(0, 9), strategies.sampled_from(LABELS)), min_size=1),
    strategies.sampled_from([0.3, 0.5]),
    strategies.integers(0, 3),
)
def test_families_stay_whole_whatever_they_hold(found: list[tuple[int, int]], held_out: float, seed: int) -> None:
    families, labels = [f"f{family}" for family, _ in found], [label for _, label in found]
    parts = split_families(families, labels, held_out, seed)
    assert set(parts) <= set(PARTS)
    assert len(set(zip(families, parts))) == len(set(families))


@given(strategies.lists(strategies.sampled_from(LABELS), min_size=1, max_size=80), strategies.integers(0, 3))
def test_single_sentences_are_balanced_by_label(labels: list[int], seed: int) -> None:
    parts = split_families([f"f{n}" for n in range(len(labels))], labels, 0.25, seed)
    for label in LABELS:
        held = [part for part, own in zip(parts, labels) if own == label].count("held-out")
        assert abs(held - 0.25 * labels.count(label)) <= 1


BAD_ROWS = [
    ({"concept_strength_label": 4}, "concept_strength_label is '4'; write 0, 1, 2 or 3"),
    ({"concept_strength_label": -1}, "concept_strength_label is '-1'; write"),
    ({"concept_strength_label": "2.5"}, "concept_strength_label is '2.5'; write"),
    ({"concept_strength_label": "high"}, "concept_strength_label is 'high'; write"),
    ({"concept_strength_label": "nan"}, "concept_strength_label is 'nan'; write"),
    ({"concept_strength_label": "inf"}, "concept_strength_label is 'inf'; write"),
    ({"concept_strength_label": ""}, "no concept_strength_label; write 0, 1, 2 or 3"),
    ({"sentence": ""}, "an empty sentence; write one or delete the row"),
    ({"sentence": " \u200b\u00a0 "}, "an empty sentence; write one"),
    ({"sentence": "a bell \a rings"}, r"the control character U\+0007 in the sentence; remove it"),
]


@pytest.mark.parametrize(("cells", "reason"), BAD_ROWS)
def test_a_row_that_cannot_be_used_is_named_with_its_fix(tmp_path: Path, cells: dict[str, Any], reason: str) -> None:
    given_rows = rows()
    given_rows[6] |= cells
    with pytest.raises(BadInput, match=rf"^t\.csv, row 7: {reason}") as told:
        read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)
    assert "\n" not in str(told.value) and "further" not in str(told.value)


def test_more_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    given_rows = rows()
    for number in (2, 3, 9):
        given_rows[number]["concept_strength_label"] = 7
    with pytest.raises(BadInput, match=r"row 3: .*\(2 further rows cannot be used either\)"):
        read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)


@pytest.mark.parametrize(("value", "reason"), [(True, "is 'True'"), (None, "no concept_strength_label")])
def test_labels_in_parquet_are_looked_at_too(tmp_path: Path, value: Any, reason: str) -> None:
    labels = pl.Series([value, *[True] * 39], dtype=pl.Boolean)
    pl.DataFrame(rows()).with_columns(labels.alias("concept_strength_label")).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=rf"^t\.parquet, row 1: .*{reason}"):
        read_sentences(tmp_path / "t.parquet", CONCEPT)


def test_a_family_that_is_a_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame([row | {"family": ["a"]} for row in rows()]).write_parquet(path)
    with pytest.raises(BadInput, match=r"row 1: a family is text or a number, not list; write its name"):
        read_sentences(path, CONCEPT)


@pytest.mark.parametrize(
    ("first", "second", "how"),
    [
        ("She left.", "She left.", "is that of row 1"),
        ("She left the café.", "she  LEFT the cafe\u0301.", "but for case, spaces or diacritics is that of row 1"),
        ("ذهبت إلى المدرسة.", "ذَهَبَتْ الى المدرسة.", "but for case, spaces or diacritics is that of row 1"),
    ],
)
def test_a_sentence_that_stands_twice_is_refused(tmp_path: Path, first: str, second: str, how: str) -> None:
    given_rows = rows()
    given_rows[0]["sentence"], given_rows[8]["sentence"] = first, second
    with pytest.raises(BadInput, match=rf"^t\.csv, row 9: the sentence {how}; delete one of them$"):
        read_sentences(write(tmp_path / "t.csv", given_rows), CONCEPT)


def test_bytes_that_are_no_utf8_are_named_by_their_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows())
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = b"caf\xe9 at noon,3\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(BadInput, match=r"^t\.csv, row 4: not UTF-8 text; save the table as UTF-8"):
        read_sentences(path, CONCEPT)
    path.write_bytes("sentence,concept_strength_label\n".encode("utf-16"))
    with pytest.raises(BadInput, match=r"^t\.csv: UTF-16 text"):
        read_sentences(path, CONCEPT)


def test_a_missing_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    renamed = [{"sentence": row["sentence"], "concept_label": row["concept_strength_label"]} for row in rows()]
    with pytest.raises(BadInput, match="no column 'concept_strength_label'; did you mean 'concept_label'"):
        read_sentences(write(tmp_path / "t.csv", renamed), CONCEPT)


def test_a_missing_class_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    without = [row for row in rows() if row["concept_strength_label"] != 2]
    with pytest.raises(BadInput, match=r"^t\.csv: no sentence of label 2; a scan needs all of 0, 1, 2 and 3"):
        read_sentences(write(tmp_path / "t.csv", without), CONCEPT)
    with pytest.raises(BadInput, match=r"none\.csv: no such table of sentences; correct `sentences`"):
        read_sentences(tmp_path / "none.csv", CONCEPT)


def test_too_few_sentences_of_a_label_for_two_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"label 0 has 9 sentences in 9 families, 4 of them in '(held-out|selection)'"):
        read_sentences(write(tmp_path / "t.csv", rows(9)), CONCEPT)
    one_scene = [row | {"family": "one" if row["concept_strength_label"] == 3 else ""} for row in rows(20)]
    with pytest.raises(BadInput, match=r"label 3 has 20 sentences in 1 families, 0 of them"):
        read_sentences(write(tmp_path / "t.csv", one_scene), CONCEPT)


def test_near_duplicates_are_found_in_any_block_and_one_by_one() -> None:
    texts = [row["sentence"] for row in rows(400)]
    texts[3], texts[1500] = (
        "The tall guard opened the green door at noon.",
        "the tall guard opens the green door at noon",
    )
    assert near_duplicates(texts) == [(3, 1500)]
    known = Known(texts[:4])
    assert known.has(texts[1500]) and not known.has("He closed a window in the evening.")
    known.add("He closed a window in the evening.")
    assert known.has("He closed the window in the evening.")


def test_spellings_of_one_text_are_the_same() -> None:
    assert same_text("  Élan\u00a0VITAL ") == same_text("e\u0301lan vital") == "elan vital"
    assert same_text("a.") != same_text("a!")
