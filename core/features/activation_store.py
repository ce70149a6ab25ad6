"""A store of activations, opened as it is, whichever layouts it has on disk."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import BadInput, first_line
from core.features.backends.batch_files import BatchFiles
from core.features.backends.layouts import Layout
from core.features.backends.loader import Activations
from core.features.saved_examples import SavedExamples

ROWS = "rows.parquet"
"""What is known of each row, in the order of the rows."""
_STRONGEST = 100
"""Examples given where none were saved."""


@dataclass(frozen=True, repr=False)
class ActivationStore:
    """Where each feature of an SAE is active. `layout` is what is read, `passed_over` says of faster layouts that are
    there why they are not. `beside` are further folders of its tables."""

    layout: Layout
    passed_over: tuple[str, ...] = ()
    saved: SavedExamples | None = None
    beside: tuple[Path, ...] = ()

    def table_file(self, name: str) -> Path | None:
        """The file of a table of the features or rows, in the store's folder or in those of `beside`; null where it is
        in none."""
        return next((path for folder in (self.place, *self.beside) if (path := folder / name).is_file()), None)

    @property
    def backend(self) -> str:
        """The back end that reads it."""
        return self.layout.backend

    @property
    def place(self) -> Path:
        """The folder that is read."""
        return self.layout.place

    @property
    def num_features(self) -> int | None:
        """F; null where the files do not say."""
        return self.layout.features

    @property
    def num_rows(self) -> int | None:
        """T; null where the files do not say."""
        return self.layout.rows

    def activations(self, feature: int) -> Activations:
        """The rows that a feature is active in, ascending (uint32 [n]), and its activations there (float32 [n]).

        Raises:
            BadInput: there is no such feature, or a file is damaged.
        """
        found = self.layout.loader.load(feature)
        if found is None:
            there = "" if self.num_features is None else f"; it has features 0-{self.num_features - 1}"
            raise BadInput(f"{self.layout}: has no feature {feature}{there}")
        return found

    def examples(self, feature: int) -> pl.DataFrame:
        """A feature's examples, strongest first: `feature`, `value`, `row`, and what is known of the row.

        Those that were saved in `examples_dir`; without it, the rows of its 100 strongest activations.

        Raises:
            BadInput: there is no such feature, or a file is damaged.
        """
        if self.saved is not None:
            return self.saved.of(feature)
        rows, values = self.activations(feature)
        strongest = np.lexsort((rows, -np.asarray(values)))[:_STRONGEST]
        columns = {"feature": feature, "value": np.asarray(values[strongest]), "row": np.asarray(rows[strongest])}
        found = pl.DataFrame(columns, schema_overrides={"feature": pl.UInt32})
        if (known := self.rows) is None:
            return found
        return pl.concat([found, known[found["row"]].select(pl.exclude(found.columns))], how="horizontal")

    @cached_property
    def rows(self) -> pl.DataFrame | None:
        """What is known of each row, in the order of the rows; null where nothing is.

        Raises:
            BadInput: a table is damaged.
        """
        if isinstance(self.layout.loader, BatchFiles):
            return self.layout.loader.rows()
        table = self._table(ROWS)
        if table is not None and self.num_rows is not None and table.height != self.num_rows:
            raise BadInput(
                f"{self.place / ROWS}: has {table.height} rows, and the store {self.num_rows}; convert the store again"
            )
        return table

    @cached_property
    def statistics(self) -> pl.DataFrame | None:
        """One row per feature (`core.features.statistics.FEATURES`); null where `saeflow store precompute` has not run.

        Raises:
            BadInput: the table is damaged.
        """
        return self._table("features.parquet")

    def _table(self, name: str) -> pl.DataFrame | None:
        if (path := self.table_file(name)) is None:
            return None
        try:
            return pl.read_parquet(path, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(f"{path}: cannot be read ({first_line(error)}); convert the store again") from error

    def __repr__(self) -> str:
        features, rows = (f"{size:,}" if size is not None else "?" for size in (self.num_features, self.num_rows))
        return f"<store {self.layout}: {features} features, {rows} rows>"
