"""What one SAE says of every fragment, read from disk and without PyTorch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.concepts.card import ScanCard
from core.concepts.fragments import FRAGMENTS
from core.errors import BadInput, first_line
from core.features.activation_store import ROWS
from core.features.backends.csc import CscColumns
from core.features.backends.loader import Activations, told
from core.features.columns import map_array

if TYPE_CHECKING:
    from scipy import sparse

CONTROL = "control"
"""The folder of a random dictionary's full sentences, beside the SAE's arrays."""
_FIX = "scan this SAE again"
_NAMES = ("indptr", "features", "values")
SCANNED_FILES = (ROWS, *(f"csr_{name}.npy" for name in _NAMES))
"""The files that say everything of a scanned SAE; those by feature repeat them."""


@dataclass(frozen=True, repr=False)
class ScannedSAE:
    """The activations of one SAE's features over the fragments, which `rows` describes in their order (`FRAGMENTS` of
    core.concepts.fragments). Matrices have a row per sentence, in the order of `sentences`."""

    folder: Path
    card: ScanCard
    rows: pl.DataFrame

    @classmethod
    def open(cls, folder: Path) -> "ScannedSAE":
        """Open what `encode_fragments` wrote into `folder`; arrays stay on disk until they are asked for.

        Raises:
            BadInput: a file is missing or damaged, or the files do not fit each other.
        """
        card = ScanCard.read(folder)
        found = cls(folder, card, _read_rows(folder / ROWS))
        indptr, features, values = found._csr
        shape = (len(indptr) - 1, found.columns.num_features, found.rows.height)
        whole = len(indptr) > 0 and int(indptr[-1]) == len(features) == len(values)
        if not whole or shape != (card.fragments, card.features, card.fragments):
            raise BadInput(f"{folder}: its files do not fit each other; {_FIX}")
        return found

    @cached_property
    def sentences(self) -> list[str]:
        """The ids of the sentences, in the order of their rows."""
        return self.rows.filter("is_full")["sentence_id"].to_list()

    @cached_property
    def columns(self) -> CscColumns:
        """The activations by feature."""
        return CscColumns(self.folder)

    def activations(self, feature: int) -> Activations:
        """The fragments that a feature is active in, ascending, and its activations there.

        Raises:
            BadInput: there is no such feature.
        """
        found = self.columns.load(feature)
        if found is None:
            raise BadInput(f"{self.card.key}: has no feature {feature}; it has features 0-{self.card.features - 1}")
        return found

    def csr(
        self, start: int, stop: int
    ) -> tuple[Int[np.ndarray, " n1"], Int[np.ndarray, " nnz"], Float[np.ndarray, " nnz"]]:
        """What is active in the fragments `start` to `stop` (exclusive): indptr from 0, features, values."""
        indptr, features, values = self._csr
        bounds = np.asarray(indptr[start : stop + 1], np.int64)
        span = slice(int(bounds[0]), int(bounds[-1]))
        return bounds - bounds[0], features[span], np.asarray(values[span], np.float32)

    def full_sentences(self) -> "sparse.csr_array":
        """Activations at the last token of each sentence, [N, F] in float32."""
        return _rows(self._csr, self._last, self.card.features)

    def maxima(self) -> "sparse.csr_array":
        """The maximum over the fragments of each sentence, [N, F] in float32."""
        from scipy import sparse

        ends = (self._last + 1).tolist()
        parts = [_maxima(*self.csr(*span)[1:]) for span in zip([0, *ends], ends, strict=False)]
        counts = [len(own) for own, _ in parts]
        active = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in parts)])
        values = np.concatenate([np.zeros(0, np.float32), *(own for _, own in parts)])
        bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return sparse.csr_array((values, active, bounds), shape=(len(parts), self.card.features))

    def maximum(self, feature: int) -> Float[np.ndarray, " N"]:
        """The maximum of one feature over the fragments of each sentence; 0 where it is active in none.

        Raises:
            BadInput: there is no such feature.
        """
        active, values = self.activations(feature)
        found = np.zeros(len(self._last))
        np.maximum.at(found, np.searchsorted(self._last, np.asarray(active, dtype=np.int64)), values)
        return found

    def control(self) -> "sparse.csr_array | None":
        """A random dictionary's activations at the last token of each sentence, [N, F]; null where none was written.

        Raises:
            BadInput: its files are damaged.
        """
        folder = self.folder / CONTROL
        if not folder.is_dir():
            return None
        return _rows(_mapped(folder), np.arange(len(self.sentences)), self.card.features)

    def onset(self, feature: int) -> pl.DataFrame:
        """The first word at whose last token the feature is active, per sentence: `sentence_id`, `words` of the
        sentence, `word` (from 1) and `fragment`, both null where it is active at no word.

        Raises:
            BadInput: there is no such feature.
        """
        active, _ = self.activations(feature)
        firing = self.rows[np.asarray(active)].filter("ends_word")
        first = firing.group_by("sentence_id", maintain_order=True).first().select("sentence_id", "word", "fragment")
        all_of = self.rows.filter("is_full").select("sentence_id", pl.col("word").alias("words"))
        return all_of.join(first, on="sentence_id", how="left", maintain_order="left")

    @cached_property
    def _last(self) -> Int[np.ndarray, " N"]:
        return np.flatnonzero(self.rows["is_full"].to_numpy())

    @cached_property
    def _csr(self) -> tuple[np.ndarray[Any, Any], ...]:
        return _mapped(self.folder)

    def __repr__(self) -> str:
        return f"<{self.card.key}: {self.card.features} features, {self.card.sentences} sentences>"


def _read_rows(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({first_line(error)}); {_FIX}") from error
    if dict(rows.schema) != FRAGMENTS:
        raise BadInput(f"{path}: has not the columns {', '.join(FRAGMENTS)}; {_FIX}")
    return rows


def _mapped(folder: Path) -> tuple[np.ndarray[Any, Any], ...]:
    with told(folder, _FIX):
        return tuple(map_array(folder / f"csr_{name}.npy") for name in _NAMES)


def _rows(
    csr: tuple[np.ndarray[Any, Any], ...], chosen: Int[np.ndarray, " n"], num_features: int
) -> "sparse.csr_array":
    """Chosen rows, ascending, as a matrix in memory."""
    from scipy import sparse

    indptr, features, values = csr
    starts, ends = indptr[chosen].astype(np.int64), indptr[chosen + 1].astype(np.int64)
    counts = ends - starts
    bounds = np.concatenate([[0], counts.cumsum()])
    places = np.repeat(starts - bounds[:-1], counts) + np.arange(bounds[-1])
    parts = (values[places].astype(np.float32), features[places].astype(np.int64), bounds)
    return sparse.csr_array(parts, shape=(len(chosen), num_features))


def _maxima(
    features: Int[np.ndarray, " nnz"], values: Float[np.ndarray, " nnz"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Each feature once, ascending, with its largest value."""
    if not len(features):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    order = np.argsort(features, kind="stable")
    ordered = features[order].astype(np.int64)
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[starts], np.maximum.reduceat(values[order], starts)
