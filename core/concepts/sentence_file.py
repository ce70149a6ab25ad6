"""The CSV of sentences that accepted drafts are appended to, one at a time."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.concepts.drafting import Draft
from core.concepts.sentences import FAMILY, SENTENCE, STRENGTH
from core.data.table_columns import missing_hint
from core.data.table_csv import csv_columns, csv_rows
from core.errors import BadInput

SOURCE = "source"
COLUMNS = (SENTENCE, STRENGTH, SOURCE, FAMILY)
"""Columns of a file of drafted sentences; a file that is there may have further ones, which are left empty."""


@dataclass
class SentenceFile:
    """A table that is there, or is made with the first sentence; `texts` and `families` are what it holds."""

    path: Path
    columns: Sequence[str] = COLUMNS
    texts: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> "SentenceFile":
        """Read what is there; nothing is written.

        Raises:
            BadInput: it is no CSV with commas, lacks a column, or holds a row that cannot be read.
        """
        if path.suffix.lower() != ".csv":
            raise BadInput(f"{path.name}: drafts are appended to a .csv; correct `sentences` in the concept's file")
        if not path.exists() or path.stat().st_size == 0:
            return cls(path)
        columns = csv_columns(path)
        for name in COLUMNS:
            if name not in columns:
                hint = missing_hint(name, columns, path)
                raise BadInput(f"{path.name}: no column {name!r}, which a draft fills; {hint}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            if next(csv.reader(file), []) != columns:
                raise BadInput(f"{path.name}: drafts are appended to a table that commas separate; save it with commas")
        opened = cls(path, columns)
        for row in csv_rows(path):
            if row.fault is not None:
                raise BadInput(f"{path.name}, row {row.number}: {row.fault}")
            opened._hold(str(row.values[SENTENCE] or ""), str(row.values[FAMILY] or ""))
        return opened

    def append(self, draft: Draft, source: str) -> None:
        """Write an accepted sentence to the disk before anything else happens."""
        values = {SENTENCE: draft.text, STRENGTH: draft.label, SOURCE: source, FAMILY: draft.family}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        there = self.path.read_bytes()[-1:] if self.path.exists() else b""
        if not there:
            writer.writerow(self.columns)
        elif there != b"\n":
            text.write("\n")
        writer.writerow([values.get(name, "") for name in self.columns])
        with self.path.open("ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
        self._hold(draft.text, draft.family)

    def _hold(self, text: str, family: str) -> None:
        self.texts.append(text)
        if family and family not in self.families:
            self.families.append(family)
