"""Rows by the word that they spell."""

import numpy as np
import polars as pl
from scipy import sparse

from core.features.word_rows import word_means, word_rows
from tests.core.features.planted_world import Index

TOKENS = pl.DataFrame(
    {
        "sample_id": ["s", "s", "s", "s", "s", "t"],
        "language": ["ar", "ar", "ar", "ar", None, "ar"],
        "segment": ["prompt", "caption", "caption", "caption", "image", "caption"],
        "special": [True, False, False, False, False, True],
        "char_start": [None, 0, 2, 4, None, 0],
        "char_end": [None, 2, 5, 8, None, 4],
    }
)
WORDS = pl.DataFrame(
    {
        "sample_id": ["s", "s", "t"],
        "language": ["ar"] * 3,
        "start": [0, 5, 0],
        "end": [4, 8, 4],
        "stem": ["a", "b", "c"],
    }
)


def test_a_row_counts_in_the_first_word_that_it_spells_and_special_rows_in_none() -> None:
    groups = word_rows(TOKENS, WORDS)
    assert groups.of_row.tolist() == [-1, 0, 0, 1, -1, -1]
    assert groups.table["rows"].to_list() == [2, 1, 0] and groups.table["stem"].to_list() == ["a", "b", "c"]


def test_means_are_over_a_words_rows() -> None:
    codes = np.arange(12, dtype=np.float32).reshape(6, 2)
    means = word_means(Index(sparse.csr_array(codes)), word_rows(TOKENS, WORDS))  # type: ignore[arg-type]
    np.testing.assert_allclose(means.toarray(), [(codes[1] + codes[2]) / 2, codes[3], [0, 0]])
