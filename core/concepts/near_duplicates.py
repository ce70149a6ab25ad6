"""Sentences that are the same, or nearly: by their letters, whatever their case, spaces, diacritics and punctuation."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse

from core.data.arabic import normalise

SHINGLE = 4
"""Characters in a shingle."""
NEAR = 0.6
"""Near-duplicates share at least this part of the shingles that either of them has (Jaccard index)."""
_BLOCK = 1024
_NO_LETTERS = re.compile(r"[\W_]+")


def same_text(text: str) -> str:
    """What two spellings of one text share: without case, diacritics, Arabic spelling variants and extra spaces."""
    parted = unicodedata.normalize("NFKD", normalise(text).casefold())
    return " ".join("".join(char for char in parted if not unicodedata.combining(char)).split())


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of texts, by their numbers, that are the same or nearly; the smaller number first, in order."""
    shingles = _shingles(texts)
    sizes = np.asarray(shingles.sum(axis=1)).ravel()
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(texts), _BLOCK):
        shared = (shingles[start : start + _BLOCK] @ shingles.T).tocoo()
        first, second = shared.row + start, shared.col
        near = (first < second) & (shared.data >= NEAR * (sizes[first] + sizes[second] - shared.data))
        pairs += zip(first[near].tolist(), second[near].tolist())
    return sorted(pairs)


class Known:
    """Texts that are there already, one of which a new text may repeat."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sets = [_shingle_set(text) for text in texts]

    def has(self, text: str) -> bool:
        """Whether one of them is this text, or nearly."""
        new = _shingle_set(text)
        return any(len(new & old) >= NEAR * len(new | old) for old in self._sets)

    def add(self, text: str) -> None:
        """Know this text too."""
        self._sets.append(_shingle_set(text))


def _shingle_set(text: str) -> frozenset[str]:
    letters = f" {_NO_LETTERS.sub(' ', same_text(text)).strip()} "
    return frozenset(letters[at : at + SHINGLE] for at in range(max(len(letters) - SHINGLE + 1, 1)))


def _shingles(texts: Sequence[str]) -> sparse.csr_matrix:
    """Which text has which shingle."""
    numbers: dict[str, int] = {}
    columns = [[numbers.setdefault(one, len(numbers)) for one in sorted(_shingle_set(text))] for text in texts]
    starts = np.cumsum([0, *map(len, columns)])
    flat = np.array([number for row in columns for number in row], dtype=np.int64)
    return sparse.csr_matrix((np.ones(len(flat), np.int32), flat, starts), shape=(len(texts), max(len(numbers), 1)))
