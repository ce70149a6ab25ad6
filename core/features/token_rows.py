"""The tokens of a layer's rows, for those who look up a few rows at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

_OF_SEQUENCE = ("sample_id", "language", "segment")


class _Runs(NamedTuple):
    """Rows of one image and sequence that lie together: the first row of each run, and the number of its image and of
    its sequence, in order of appearance."""

    starts: Int[np.ndarray, " R"]
    images: Int[np.ndarray, " R"]
    sequences: Int[np.ndarray, " R"]
    of_image: Mapping[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class TokenRows:
    """The `table` [T] of `core.activations.tokens.layer_tokens`; what finds rows in it is made when first asked for."""

    table: pl.DataFrame

    def columns(self, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> list[list[Any]]:
        """The values of the columns `names` in these rows."""
        return columns_at(self.table, rows, names)

    def images(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The number of each row's image."""
        found: np.ndarray = self._runs.images[self._run_of(rows)]
        return found

    def sequences(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The number of each row's sequence: the rows of one sample, language and segment."""
        found: np.ndarray = self._runs.sequences[self._run_of(rows)]
        return found

    def of_image(self, image_id: str) -> Int[np.ndarray, " n"]:
        """The rows of an image and of its captions, ascending; none of an unknown image."""
        runs = np.flatnonzero(self._runs.images == self._runs.of_image.get(image_id, -1))
        stops = np.append(self._runs.starts[1:], self.table.height)
        parts = [np.arange(self._runs.starts[run], stops[run]) for run in runs]
        return np.concatenate([np.empty(0, np.int64), *parts])

    @cached_property
    def special(self) -> Bool[np.ndarray, " T"]:
        """Which rows are special or outliers."""
        return self.table["special"].to_numpy()

    @cached_property
    def position(self) -> Int[np.ndarray, " T"]:
        """The place of each row in its sequence."""
        return self.table["position"].to_numpy()

    def _run_of(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return np.searchsorted(self._runs.starts, rows, side="right") - 1

    @cached_property
    def _runs(self) -> _Runs:
        names = ("image_id", *_OF_SEQUENCE)
        lengths, values = self.table.select(pl.struct(names).rle()).to_series().struct.unnest().get_columns()
        starts: np.ndarray = np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)[:-1]])
        images: dict[str, int] = {}
        sequences: dict[tuple[str, ...], int] = {}
        rows = values.struct.unnest().rows()
        of_image = [images.setdefault(image, len(images)) for image, *_ in rows]
        of_sequence = [sequences.setdefault(tuple(sequence), len(sequences)) for _, *sequence in rows]
        return _Runs(starts, np.array(of_image, np.int64), np.array(of_sequence, np.int64), images)


def columns_at(table: pl.DataFrame, rows: Int[np.ndarray, " n"], names: Sequence[str]) -> list[list[Any]]:
    """The values of the columns `names` in a few rows of a table.

    Each column is gathered by itself: those of a table Polars hands to its threads, which takes longer than a few rows
    do. Row numbers of another type it would check one by one.
    """
    places = pl.Series("", np.asarray(rows).astype(np.uint32, copy=False), pl.UInt32)
    return [table[name][places].to_list() for name in names]
