"""A layer's table of features as it is asked page by page: its last orders and filters are kept."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import UInt

from core.features.token_rows import columns_at
from explorer.reading.catalogues import CATALOGUE
from explorer.reading.feature_table import LABEL, check_names, holding, row_order, with_labels, with_texts

_TOLD = (LABEL, CATALOGUE)


class Told(NamedTuple):
    """What features are called: labels by feature, and `texts` (feature, what catalogues say)."""

    labels: Mapping[int, str]
    texts: pl.DataFrame


class SortedTable:
    """A `table` of `explorer.reading.feature_table`. What is told of features changes while it is shown, and is added
    to the rows that are asked for, or to those columns that order or filters are of."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self._order = lru_cache(8)(lambda asked: row_order(table, asked).to_numpy())
        self._holds = lru_cache(8)(lambda terms: holding(table, terms).to_numpy())

    def places(self, told: Told, terms: tuple[str, ...], asked: str) -> UInt[np.ndarray, " n"]:
        """The numbers of the rows for which every term holds, in the order asked.

        Raises:
            Refusal: a term cannot be read, or a column is not there.
        """
        own = self.table.columns
        named = check_names((*own, *_TOLD), terms, asked)
        if set(named).isdisjoint(_TOLD):
            order, holds = self._order(asked), self._holds(terms) if terms else None
        else:
            narrow = self._with(told, named)
            order = self._order(asked) if named[0] in own else row_order(narrow, asked).to_numpy()
            holds = holding(narrow, terms).to_numpy() if terms else None
        found: np.ndarray = order if holds is None else order[holds[order]]
        return found

    def rows(self, told: Told, places: UInt[np.ndarray, " n"]) -> list[dict[str, Any]]:
        """A few rows, with what is told of each."""
        columns = dict(zip(self.table.columns, columns_at(self.table, places, self.table.columns)))
        features = columns["feature"]
        texts = dict(told.texts.filter(pl.col("feature").is_in(features)).rows()) if told.texts.height else {}
        columns[LABEL] = [told.labels.get(feature) for feature in features]
        columns[CATALOGUE] = [texts.get(feature) for feature in features]
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def _with(self, told: Told, named: Sequence[str]) -> pl.DataFrame:
        """The columns that are named, and those with what is told."""
        own = [name for name in self.table.columns if name == "feature" or name in named]
        return with_texts(with_labels(self.table[own], told.labels), told.texts)
