"""Examples of features that were saved beside a store: a folder of one Parquet table, read a feature at a time."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from core.errors import BadInput, first_line

FILES = {
    "examples.parquet": ("feature", "value", "row"),
    "all_examples.parquet": ("feature_id", "activation", "global_index"),
}
"""The tables that are read, and what feature, activation and row are called in each: saeflow's, and older scripts'."""
NAMES = ("feature", "value", "row")
"""What the three columns are called when they are read; further columns keep their names."""
_OLD_NOTES = "storage_metadata.json"
_FIX = "write the examples again, or leave examples_dir out"


@dataclass(frozen=True)
class SavedExamples:
    """The folder's examples; `file` is its table."""

    file: Path

    @classmethod
    def open(cls, folder: Path) -> "SavedExamples":
        """Look for the folder's table, and at its columns.

        Raises:
            BadInput: it has none, or one that is damaged or has other columns.
        """
        found = next((folder / name for name in FILES if (folder / name).is_file()), None)
        if found is None:
            raise BadInput(f"examples_dir {folder}: holds none of {', '.join(FILES)}; {_FIX}")
        saved = cls(found)
        missing = [name for name in FILES[found.name] if name not in saved._schema]
        if missing:
            raise BadInput(f"{found}: has no column {missing[0]!r}; {_FIX}")
        return saved

    @property
    def features(self) -> int | None:
        """How many features there are, where the older scripts' notes say it.

        Raises:
            BadInput: the notes are damaged.
        """
        path = self.file.with_name(_OLD_NOTES)
        if not path.is_file():
            return None
        try:
            number = json.loads(path.read_text(encoding="utf-8"))["n_features"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}: cannot be read ({type(error).__name__}: {first_line(error)}); {_FIX}") from error
        return int(number)

    def of(self, feature: int) -> pl.DataFrame:
        """A feature's examples, strongest first: `feature`, `value`, `row`, and the table's further columns.

        Raises:
            BadInput: the table is damaged.
        """
        own = dict(zip(FILES[self.file.name], NAMES, strict=True))
        wanted = pl.col(next(iter(own))) == feature
        try:
            found = pl.scan_parquet(self.file, glob=False).filter(wanted).collect()
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"{self.file}: cannot be read ({first_line(error)}); {_FIX}") from error
        return found.rename(own).sort("value", descending=True, maintain_order=True)

    @cached_property
    def _schema(self) -> pl.Schema:
        try:
            return pl.scan_parquet(self.file, glob=False).collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(f"{self.file}: cannot be read ({first_line(error)}); {_FIX}") from error
