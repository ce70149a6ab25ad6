"""Row groups: the rows of one image in one language and position set, averaged before anything is tested."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse

from core.activations.positions import position_sets
from core.activations.stream_rows import SHARED
from core.activations.table import LayerTable
from core.data.concept import LAST_PROMPT, Concept
from core.features.index import FeatureIndex

BLOCK = 65_536
"""Rows read at a time."""
_KEYS = ["image_id", "language", "position_set"]


@dataclass(frozen=True)
class RowGroups:
    """Which rows are averaged together.

    `table` has one row per group: image_id, language (null: rows shared by all languages), position_set, rows, and
    word, the token id of its last row.
    `of_row` [T] names each row's group, −1 for rows in no statistic (special rows other than the last-prompt one).
    """

    table: pl.DataFrame
    of_row: Int[np.ndarray, " T"]

    def grouping(self, start: int, stop: int) -> sparse.csr_array:
        """[G, stop − start] ones where a row of the block belongs to a group."""
        groups = self.of_row[start:stop]
        rows = np.flatnonzero(groups >= 0)
        ones = np.ones(rows.size, dtype=np.float32)
        return sparse.csr_array((ones, (groups[rows], rows)), shape=(self.table.height, stop - start))

    @cached_property
    def shared_sets(self) -> frozenset[str]:
        """The position sets all of whose rows are the same in every language, such as image rows."""
        own = pl.col("language").is_not_null().any()
        alike = self.table.group_by("position_set").agg(own.alias("own")).filter(~pl.col("own"))
        return frozenset(alike["position_set"].to_list())

    def languages(self, position_set: str, languages: Sequence[str]) -> tuple[str, ...]:
        """The languages in which a set is measured: once, as `shared`, where all languages have the same rows."""
        return (SHARED,) if position_set in self.shared_sets else tuple(languages)

    def images(self, language: str, *position_sets: str) -> tuple[list[str], sparse.csr_array]:
        """The images that have rows in any of the sets, sorted, and the [N, G] selection that adds their groups up."""
        chosen = self.table.with_row_index("group").filter(
            pl.col("position_set").is_in(position_sets)
            & (pl.col("language").is_null() | (pl.col("language") == language))
        )
        ids = sorted(chosen["image_id"].unique().to_list())
        place = {image: number for number, image in enumerate(ids)}
        rows = np.array([place[image] for image in chosen["image_id"]], dtype=np.int64)
        ones = np.ones(rows.size, dtype=np.float32)
        shape = (len(ids), self.table.height)
        return ids, sparse.csr_array((ones, (rows, chosen["group"].to_numpy())), shape=shape)

    def words(self, language: str, position_set: str) -> Int[np.ndarray, " N"]:
        """The last token id of each image there; that of the last group where an image has several."""
        _, selection = self.images(language, position_set)
        last = selection.indices[selection.indptr[1:] - 1]
        return np.asarray(self.table["word"].to_numpy().astype(np.int64)[last])

    def rows(self) -> Float[np.ndarray, " G"]:
        """Rows in each group."""
        return self.table["rows"].to_numpy().astype(np.float32)


def group_rows(tokens: pl.DataFrame, samples: pl.DataFrame, concept: Concept) -> RowGroups:
    """Sort a layer's rows into groups."""
    frame = tokens.select("image_id", "language", "special", "position", "token_id").with_columns(
        position_sets(tokens, samples, concept).alias("position_set")
    )
    counted = ~pl.col("special") | (pl.col("position_set") == LAST_PROMPT)
    word = pl.col("token_id").sort_by("position").last().alias("word")
    table = frame.filter(counted).group_by(_KEYS).agg(pl.len().alias("rows"), word).sort(_KEYS)
    numbered = table.select(_KEYS).with_row_index("group")
    joined = frame.join(numbered, on=_KEYS, how="left", nulls_equal=True, maintain_order="left")
    of_row = joined.select(pl.when(counted).then(pl.col("group").cast(pl.Int64)).otherwise(-1).fill_null(-1))
    return RowGroups(table, of_row.to_series().to_numpy())


class RowGrouper:
    """Groups rows once for layers whose rows are the same, which is all of them unless rows were dropped."""

    def __init__(self, samples: pl.DataFrame, concept: Concept) -> None:
        self._samples, self._concept = samples, concept
        self._known: tuple[pl.DataFrame, RowGroups] | None = None

    def __call__(self, tokens: pl.DataFrame) -> RowGroups:
        """The groups of `tokens`."""
        if self._known is None or not self._known[0].equals(tokens):
            self._known = (tokens, group_rows(tokens, self._samples, self._concept))
        return self._known[1]


@dataclass(frozen=True)
class ImageFeatures:
    """Features by image within one language and position set.

    `means` [N, F] over the image's rows; `fired` [N, F] rows on which the feature is active; `totals` [N, F] summed
    activations.
    """

    images: list[str]
    means: Float[np.ndarray, "N F"]
    fired: Float[np.ndarray, "N F"]
    totals: Float[np.ndarray, "N F"]


@dataclass(frozen=True)
class FeatureSums:
    """Feature activations of one layer summed (`sums`) and counted (`fired`) within each group, both [G, F]."""

    groups: RowGroups
    sums: sparse.csr_array
    fired: sparse.csr_array

    def by_image(self, language: str, position_set: str) -> ImageFeatures:
        """Features by image there."""
        images, selection = self.groups.images(language, position_set)
        rows = np.maximum(selection @ self.groups.rows(), 1)[:, None]
        totals = (selection @ self.sums).toarray()
        return ImageFeatures(images, totals / rows, (selection @ self.fired).toarray(), totals)


def sum_features(index: FeatureIndex, groups: RowGroups) -> FeatureSums:
    """Sum a layer's feature activations within groups, in one pass over the index."""
    shape = (groups.table.height, index.num_features)
    sums = sparse.csr_array(shape, dtype=np.float32)
    fired = sparse.csr_array(shape, dtype=np.float32)
    for start, stop, block in code_blocks(index):
        grouping = groups.grouping(start, stop)
        sums = sums + grouping @ block
        block.data = (block.data != 0).astype(np.float32)
        fired = fired + grouping @ block
    return FeatureSums(groups, sparse.csr_array(sums), sparse.csr_array(fired))


def code_blocks(index: FeatureIndex) -> Iterator[tuple[int, int, sparse.csr_array]]:
    """A layer's sparse codes [rows, F], block by block, with the block's first row and end."""
    for start in range(0, index.num_rows, BLOCK):
        stop = min(start + BLOCK, index.num_rows)
        indptr, features, values = index.csr(start, stop)
        parts = (np.asarray(values, np.float32), np.asarray(features, np.int32), np.asarray(indptr, np.int64))
        yield start, stop, sparse.csr_array(parts, shape=(stop - start, index.num_features))


def sum_stream(table: LayerTable, groups: RowGroups) -> Float[np.ndarray, "G D"]:
    """The residual stream summed within each group."""
    sums = np.zeros((groups.table.height, table.d_model), dtype=np.float32)
    for start in range(0, len(table), BLOCK):
        stop = min(start + BLOCK, len(table))
        sums += groups.grouping(start, stop) @ table.block(start, stop).numpy()
    return sums


def stream_means(
    sums: Float[np.ndarray, "G D"], groups: RowGroups, language: str, *position_sets: str
) -> tuple[list[str], Float[np.ndarray, "N D"]]:
    """The images there, and the mean of the residual stream over each one's rows."""
    images, selection = groups.images(language, *position_sets)
    rows = np.maximum(selection @ groups.rows(), 1)[:, None]
    return images, (selection @ sums) / rows
