"""Rows by the word that they spell: a word of several tokens is measured once, by their mean."""

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import sparse

from core.features.index import FeatureIndex
from core.features.row_groups import RowGroups, sum_features

_KEYS = ["sample_id", "language"]


def word_rows(tokens: pl.DataFrame, words: pl.DataFrame) -> RowGroups:
    """Which rows spell each word.

    Args:
        tokens: a layer's rows (T).
        words: sample_id, language, start and end (characters of the caption, half open), and whatever else is known
            of each word.

    Returns:
        Groups whose table is `words` with `rows`, in their order; a row that spells parts of two words counts in the
        first. Special rows and outliers spell none.
    """
    places = words.select(*_KEYS, "start", "end").with_row_index("group")
    spans = (
        tokens.select(*_KEYS, "char_start", "char_end", "segment", "special")
        .with_row_index("row")
        .filter(pl.col("segment") == "caption", ~pl.col("special"), pl.col("char_start").is_not_null())
        .select("row", pl.col(_KEYS).cast(pl.String), "char_start", "char_end")
    )
    overlaps = (pl.col("char_start") < pl.col("end")) & (pl.col("char_end") > pl.col("start"))
    found = spans.join(places, on=_KEYS).filter(overlaps).group_by("row").agg(pl.col("group").min())
    of_row = np.full(tokens.height, -1, dtype=np.int64)
    of_row[found["row"].to_numpy()] = found["group"].to_numpy()
    rows = np.bincount(of_row[of_row >= 0], minlength=words.height)
    return RowGroups(words.with_columns(pl.Series("rows", rows, dtype=pl.UInt32)), of_row)


def word_means(index: FeatureIndex, groups: RowGroups) -> Float[sparse.csr_array, "W F"]:
    """Each feature's mean activation over the rows of each word; a word without rows has 0."""
    rows = np.maximum(groups.rows(), 1)
    sums = sum_features(index, groups).sums
    return sparse.csr_array(sparse.diags_array(1 / rows) @ sums)
