"""A concept's labelled sentences: a table of the user's own, checked row by row, with families and two parts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from core.concepts.families import LABELS, PARTS, name_families, split_families
from core.concepts.near_duplicates import same_text
from core.data.arabic import normalise
from core.data.sample_frame import column_series, prefixed
from core.data.table_checks import control_character, is_visible
from core.data.table_columns import missing_hint
from core.data.table_parquet import holds_bytes, unreadable_columns
from core.data.table_rows import table_columns, table_rows, table_types
from core.data.table_values import Row, WrongCell, as_name, is_missing, shown
from core.errors import BadInput
from core.study.scan import ConceptConfig

SENTENCE, STRENGTH, FAMILY = "sentence", "concept_strength_label", "family"
"""Columns of the user's table; `family` may be left out."""
LABELLED = pl.Schema({"sentence_id": pl.String, "sentence": pl.String, "label": pl.Int8, "family": pl.String})
"""Columns of `sentences.parquet` before the sentences are split, in the file's order of rows; the file's further
columns follow."""
SCHEMA = pl.Schema([*LABELLED.items(), ("split", pl.String())])
"""The same once they are split: `split` is `selection` or `held-out`."""
SENTENCES = "sentences.parquet"
"""The file of the table in its artefact."""
FEWEST = 5
"""Least sentences of each label in either part."""


class _Sentence(NamedTuple):
    row: int
    text: str
    label: int
    family: str | None
    further: dict[str, Any]


class _Fault(ValueError):
    """What is wrong with a row, with the fix."""


def read_sentences(path: Path, concept: ConceptConfig) -> pl.DataFrame:
    """The sentences of a table with ids, families and parts (`SCHEMA`).

    Raises:
        BadInput: a row cannot be used (`labelled_sentences`), or a part lacks a label (`split_sentences`).
    """
    return split_sentences(labelled_sentences(path), path.name, concept)


def split_sentences(sentences: pl.DataFrame, name: str, concept: ConceptConfig) -> pl.DataFrame:
    """The sentences (`LABELLED`) of the table called `name`, with their parts.

    A family is never split. Equal seeds give equal parts.

    Raises:
        BadInput: a label has too few sentences in one of the parts.
    """
    families, labels = sentences["family"].to_list(), sentences["label"].to_list()
    parts = split_families(families, labels, concept.held_out, concept.seed)
    _refuse_few(name, labels, families, parts)
    return sentences.insert_column(len(LABELLED), pl.Series("split", parts, SCHEMA["split"]))


def labelled_sentences(path: Path) -> pl.DataFrame:
    """The sentences of a table with ids and families (`LABELLED`); near-duplicates share a family.

    Raises:
        BadInput: a column is missing, a row cannot be used, two rows are the same, or a label has no sentence. The
            message names the first row, counted from 1 without the header.
    """
    types, columns = _readable(path)
    sentences = _checked(path, columns)
    _refuse_same(path, sentences)
    labels = [one.label for one in sentences]
    _refuse_missing(path, labels)
    ids = [f"s{number:04d}" for number in range(len(sentences))]
    families = name_families(ids, [one.text for one in sentences], [one.family for one in sentences])
    fixed = pl.DataFrame([ids, [one.text for one in sentences], labels, families], schema=LABELLED)
    names = [name for name in columns if name not in (SENTENCE, STRENGTH, FAMILY)]
    further = [
        column_series(
            prefixed(name, names) if name in SCHEMA else name, [one.further[name] for one in sentences], types.get(name)
        )
        for name in names
    ]
    return pl.DataFrame([*fixed, *further])


def save(sentences: pl.DataFrame, path: Path) -> None:
    """Write a table of sentences."""
    sentences.write_parquet(path, compression="zstd", statistics=False)


def load(path: Path, schema: pl.Schema = SCHEMA) -> pl.DataFrame:
    """Read what `save` wrote.

    Raises:
        BadInput: the file is no such table.
    """
    try:
        table = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path}: cannot be read; delete it and run the scan again") from error
    wrong = next((name for name, kind in schema.items() if table.schema.get(name) != kind), None)
    if wrong is not None:
        raise BadInput(f"{path}: no column {wrong!r} of {schema[wrong]}; delete it and run the scan again")
    return table


def _readable(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The types of the columns, where the table has types, and the columns that can be read."""
    if not path.is_file():
        raise BadInput(f"{path}: no such table of sentences; correct `sentences` in the concept's file")
    there = table_columns(path)
    for name in (SENTENCE, STRENGTH):
        if name not in there:
            raise BadInput(f"{path.name}: no column {name!r}; {missing_hint(name, there, path)}")
    types = table_types(path)
    left = unreadable_columns(path, there) if types else []
    left += [name for name in there if name in types and holds_bytes(types[name])]
    for name in (SENTENCE, STRENGTH, FAMILY):
        if name in left:
            raise BadInput(f"{path.name}: column {name!r} holds {shown(types[name])}; write it as text")
    return types, [name for name in there if name not in left]


def _checked(path: Path, columns: Sequence[str]) -> list[_Sentence]:
    sentences, faults = [], []
    for row in table_rows(path, columns):
        try:
            sentences.append(_sentence(row, columns))
        except _Fault as fault:
            faults.append(f"row {row.number}: {fault}")
    if faults:
        more = f" ({len(faults) - 1} further rows cannot be used either)" if len(faults) > 1 else ""
        raise BadInput(f"{path.name}, {faults[0]}{more}")
    return sentences


def _sentence(row: Row, columns: Sequence[str]) -> _Sentence:
    if row.fault is not None:
        raise _Fault(row.fault)
    text = row.values.get(SENTENCE)
    if is_missing(text) or (isinstance(text, str) and not is_visible(normalise(text))):
        raise _Fault("an empty sentence; write one or delete the row")
    if not isinstance(text, str):
        raise _Fault(f"a sentence is text, not {type(text).__name__}; write it as text")
    if (control := control_character(text)) is not None:
        raise _Fault(f"the control character U+{ord(control):04X} in the sentence; remove it")
    try:
        family = as_name(row.values.get(FAMILY), "a family")
    except WrongCell as error:
        raise _Fault(f"{error}; write its name") from error
    further = {name: row.values.get(name) for name in columns}
    return _Sentence(row.number, text.strip(), _label(row.values.get(STRENGTH)), family, further)


def _label(value: object) -> int:
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        raise _Fault(f"no {STRENGTH}; write 0, 1, 2 or 3")
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number not in LABELS:
        raise _Fault(f"{STRENGTH} is {shown(value)!r}; write 0, 1, 2 or 3")
    return int(number)


def _refuse_same(path: Path, sentences: Sequence[_Sentence]) -> None:
    first: dict[str, _Sentence] = {}
    for one in sentences:
        earlier = first.setdefault(same_text(one.text), one)
        if earlier is not one:
            how = "is" if earlier.text == one.text else "but for case, spaces or diacritics is"
            message = f"the sentence {how} that of row {earlier.row}; delete one of them"
            raise BadInput(f"{path.name}, row {one.row}: {message}")


def _refuse_missing(path: Path, labels: Sequence[int]) -> None:
    missing = [str(label) for label in LABELS if label not in labels]
    if missing:
        named = "label" if len(missing) == 1 else "labels"
        raise BadInput(f"{path.name}: no sentence of {named} {', '.join(missing)}; a scan needs all of 0, 1, 2 and 3")


def _refuse_few(name: str, labels: Sequence[int], families: Sequence[str], parts: Sequence[str]) -> None:
    for label, part, found in _counts(labels, parts):
        if found < FEWEST:
            own = [family for family, one in zip(families, labels) if one == label]
            there = f"label {label} has {len(own)} sentences in {len(set(own))} families, {found} of them in {part!r}"
            raise BadInput(f"{name}: {there}; either part needs {FEWEST}: add sentences of other scenes")


def _counts(labels: Sequence[int], parts: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    pairs = list(zip(labels, parts))
    for label in LABELS:
        for part in PARTS:
            yield label, part, pairs.count((label, part))
