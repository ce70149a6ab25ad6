"""How features behave whatever the label: how often they fire and how much they write, by segment and language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from safetensors.numpy import load_file, save_file
from scipy import sparse
from torch import Tensor

from core.activations.positions import last_prompt_rows
from core.features.index import FeatureIndex
from core.features.row_groups import code_blocks
from core.lm.patched import CAPTION, IMAGE, LAST_PROMPT, PROMPT

SEGMENTS = (IMAGE, PROMPT, CAPTION, LAST_PROMPT)
"""Segment codes, in the order of a profile's rows."""
PROFILE = "profile.safetensors"


@dataclass(frozen=True)
class Profile:
    """How features behave on the selection split, whatever the label, by segment (`SEGMENTS`) and language.

    `rate` is the share of rows they fire on, `mean` and `power` are the mean and the mean square of activations over
    all rows (decoder rows have unit length, so power is the mean squared contribution to the stream).
    """

    languages: tuple[str, ...]
    rows: Float[np.ndarray, "S L"]
    rate: Float[np.ndarray, "S L F"]
    mean: Float[np.ndarray, "S L F"]
    power: Float[np.ndarray, "S L F"]

    def means(self, features: Sequence[int], language: str) -> Mapping[int, Float[Tensor, " n"]]:
        """Mean activation of some features in each segment of a language, rows shared by all languages included."""
        place = self.languages.index(language)
        chosen = self.mean[:, place][:, list(features)]
        return {segment: torch.from_numpy(chosen[row]).float() for row, segment in enumerate(SEGMENTS)}

    def strength(self) -> Float[np.ndarray, " F"]:
        """Mean squared contribution over all rows."""
        weights = self.rows / max(self.rows.sum(), 1)
        return np.asarray((weights[:, :, None] * self.power).sum(axis=(0, 1)))

    def save(self, folder: Path) -> None:
        """Write the numbers into a folder."""
        numbers = {"rows": self.rows, "rate": self.rate, "mean": self.mean, "power": self.power}
        save_file({name: np.ascontiguousarray(array) for name, array in numbers.items()}, folder / PROFILE)

    @classmethod
    def load(cls, folder: Path, languages: tuple[str, ...]) -> "Profile":
        """The numbers that `save` wrote."""
        return cls(languages, **load_file(folder / PROFILE))


def profile_features(
    index: FeatureIndex, tokens: pl.DataFrame, samples: pl.DataFrame, languages: tuple[str, ...], split: str = "select"
) -> Profile:
    """Measure every feature of a layer on the images of a split, in one pass over its index."""
    groups = _groups(tokens, samples, languages, split)
    shape = (len(SEGMENTS) * (len(languages) + 1), index.num_features)
    fired, sums, squares = (np.zeros(shape) for _ in range(3))
    for start, stop, block in code_blocks(index):
        own = groups[start:stop]
        rows = np.flatnonzero(own >= 0)
        ones = np.ones(rows.size)
        grouping = sparse.csr_array((ones, (own[rows], rows)), shape=(shape[0], stop - start))
        sums += (grouping @ block).toarray()
        squares += (grouping @ block.power(2)).toarray()
        fired += (grouping @ (block != 0).astype(np.float64)).toarray()
    counts = np.bincount(groups[groups >= 0], minlength=shape[0]).astype(np.float64)
    return _profile(languages, counts, (fired, sums, squares))


def _profile(languages: tuple[str, ...], counts: np.ndarray, totals: Sequence[np.ndarray]) -> Profile:
    """Shared rows (language 0) count with every language's own."""

    def by_language(flat: np.ndarray) -> np.ndarray:
        cube = flat.reshape(len(SEGMENTS), len(languages) + 1, -1)
        return np.asarray(cube[:, 1:] + cube[:, :1])

    rows = by_language(counts[:, None])
    rate, mean, power = (by_language(total) / np.maximum(rows, 1) for total in totals)
    return Profile(languages, rows[:, :, 0], rate, mean, power)


def _groups(tokens: pl.DataFrame, samples: pl.DataFrame, languages: tuple[str, ...], split: str) -> np.ndarray:
    """Each row's segment and language as one number, −1 for rows of other splits and other control tokens."""
    images = samples.filter(pl.col("split") == split)["image_id"].unique()
    names = {"image": 0, "prompt": 1, "caption": 2}
    tongues = {language: number + 1 for number, language in enumerate(languages)}
    segment = (
        pl.when(last_prompt_rows(tokens, samples))
        .then(3)
        .when(pl.col("special"))
        .then(None)
        .otherwise(pl.col("segment").cast(pl.String).replace_strict(names, default=None, return_dtype=pl.Int64))
    )
    language = pl.col("language").cast(pl.String).replace_strict(tongues, default=0, return_dtype=pl.Int64)
    group = (
        pl.when(pl.col("image_id").is_in(images.implode()))
        .then(segment * (len(languages) + 1) + language)
        .fill_null(-1)
    )
    return np.asarray(tokens.select(group.cast(pl.Int64)).to_series().to_numpy())
