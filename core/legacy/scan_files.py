"""`layer_0_l0_105_activations.npz` of an older concept scan: every fragment's activations of one SAE, dense.

A file has, one entry per fragment: `activations` [n, F], `fragments` (its text), `original_sentences`,
`concept_strength_labels`, `sentence_indices`, `token_positions`, `is_final_token`, `fragment_lengths` (words), and the
numbers `layer`, `average_l0` and `num_features`. It is read without unpickling, and `activations` a block at a time.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.lib import format as npy

from core.concepts.fragments import fragments_of
from core.errors import BadInput, first_line
from core.features.columns import block_rows

NAME = re.compile(r"layer_(\d+)_l0_(\d+(?:\.\d+)?)_activations\.npz")
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_COLUMNS = {
    "sentence_indices": "iu",
    "token_positions": "iu",
    "is_final_token": "b",
    "fragments": "U",
    "original_sentences": "U",
}
"""The members that are read, and the kinds of numbers or text that they hold."""


@dataclass(frozen=True)
class OldScan:
    """One file: its SAE by layer and L0, `features` of it, and its fragments as (sentence, text, place, is_final)."""

    path: Path
    layer: int
    l0: float
    features: int
    fragments: pl.DataFrame

    @classmethod
    def open(cls, path: Path) -> "OldScan":
        """Read what the file says of its fragments; activations stay in it.

        Raises:
            BadInput: its name is another, it is damaged or cut short, or its members do not fit each other.
        """
        named = NAME.fullmatch(path.name)
        if named is None:
            raise BadInput(f"{path}: is not named like layer_0_l0_105_activations.npz; give it its name back")
        with _members(path) as archive:
            columns = {name: _column(archive, name, kinds) for name, kinds in _COLUMNS.items()}
            with _dense(archive) as (_, shape, _):
                rows, features = shape
        if {len(column) for column in columns.values()} != {rows}:
            raise BadInput(f"{path}: its members have different numbers of fragments; compute this SAE again")
        fragments = pl.DataFrame({name: column.tolist() for name, column in columns.items()})
        return cls(path, int(named[1]), float(named[2]), features, fragments.with_row_index("row"))

    def whole_sentences(self) -> dict[str, pl.DataFrame]:
        """The fragments of each sentence of which all are there, by the sentence's text, in the order of tokens."""
        found: dict[str, pl.DataFrame] = {}
        for own in self.fragments.partition_by("sentence_indices", maintain_order=True):
            text = str(own["original_sentences"][0])
            positions, final = own["token_positions"].to_numpy(), own["is_final_token"].to_numpy()
            in_order = bool((np.diff(positions) == 1).all() and (np.diff(own["row"].to_numpy()) == 1).all())
            if in_order and final[-1] and final.sum() == 1 and own["original_sentences"].n_unique() == 1:
                found.setdefault(text, own)
        return found

    def blocks(self) -> Iterator[Float[np.ndarray, "n F"]]:
        """The activations of all fragments in order, a block at a time.

        Raises:
            BadInput: they are damaged, or negative, NaN or Inf.
        """
        with _members(self.path) as archive, _dense(archive) as (file, (rows, features), dtype):
            block = block_rows(features)
            for start in range(0, rows, block):
                count = min(block, rows - start)
                content = _exactly(file, count * features * dtype.itemsize)
                dense = np.frombuffer(content, dtype).reshape(count, features)
                if not (np.isfinite(dense).all() and (dense >= 0).all()):
                    raise BadInput(f"{self.path}: activations are negative, NaN or Inf; compute this SAE again")
                yield dense
            file.read()  # to the end, where its checksum is compared


def rows_of(own: pl.DataFrame, sentence_id: str) -> pl.DataFrame:
    """The fragments of one sentence (`whole_sentences`) in the columns of a scan's rows.

    Where a token ends in the sentence is known by its fragment's text, which older scripts stripped.
    """
    text = str(own["original_sentences"][0])
    lead = len(text) - len(text.lstrip())
    ends = [lead]
    for fragment in own["fragments"]:
        ends.append(max(_end(text, lead, fragment, ends[-1]), ends[-1]))
    ends[-1] = len(text)
    tokens = [text[start:end] for start, end in pairwise([0, *ends[1:]])]
    return fragments_of(sentence_id, text, ends[1:], tokens)


def _end(text: str, lead: int, fragment: str, before: int) -> int:
    """Behind what the fragment spells; a token that is part of a character goes to its end, one of space beyond it."""
    spelt = lead + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text[lead:], fragment, strict=False)))
    partial = spelt < lead + len(fragment)
    space = spelt == before and text[before : before + 1].isspace()
    return spelt + 1 if partial or space else spelt


@contextmanager
def _members(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BadInput:
        raise
    except _DAMAGE as error:
        raise BadInput(f"{path}: is damaged or cut short ({first_line(error)}); compute this SAE again") from error


def _column(archive: zipfile.ZipFile, name: str, kinds: str) -> np.ndarray[Any, Any]:
    with archive.open(f"{name}.npy") as file:
        array = npy.read_array(file, allow_pickle=False)
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")
    return array


@contextmanager
def _dense(archive: zipfile.ZipFile) -> Iterator[tuple[IO[bytes], tuple[int, int], "np.dtype[Any]"]]:
    """The stream of `activations` behind its header, its shape and its dtype."""
    with archive.open("activations.npy") as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if len(shape) != 2 or fortran or dtype.kind != "f":
            raise ValueError(f"activations are {dtype} {list(shape)}; [fragments, features] row by row is needed")
        yield file, (shape[0], shape[1]), dtype


def _exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("activations end early")
    return content
