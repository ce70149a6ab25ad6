"""Features over caption rows, in one language and in the other, of the images that have captions in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy import sparse

from core.features.associations import MIN_IMAGES
from core.features.index import FeatureIndex
from core.features.row_groups import FeatureSums, RowGroups, sum_features

CAPTION = "caption"
_KEYS = ["image_id", "language"]


@dataclass(frozen=True)
class CaptionSide:
    """The captions of N images in one language: `rows` of each, on how many a feature `fired` and the `sums` of its
    activations there, both [N, F]."""

    rows: Float[np.ndarray, " N"]
    fired: sparse.csr_array
    sums: sparse.csr_array

    @property
    def rates(self) -> sparse.csr_array:
        """[N, F] share of an image's caption rows on which a feature fires."""
        return self._by_row(self.fired)

    @property
    def means(self) -> sparse.csr_array:
        """[N, F] mean activation over an image's caption rows."""
        return self._by_row(self.sums)

    def of(self, chosen: Bool[np.ndarray, " N"]) -> "CaptionSide":
        """Some of the images."""
        return CaptionSide(self.rows[chosen], self.fired[chosen], self.sums[chosen])

    def _by_row(self, matrix: sparse.csr_array) -> sparse.csr_array:
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(self.rows, 1)) @ matrix)


@dataclass(frozen=True)
class PairedCaptions:
    """Images with captions in both languages, and each language's side, image by image."""

    images: list[str]
    first: CaptionSide
    second: CaptionSide

    @property
    def supported(self) -> Bool[np.ndarray, " F"]:
        """The features that fire on captions of at least max(20, 1 %) of the images, whatever their language."""
        images = ((self.first.fired + self.second.fired) != 0).sum(axis=0)
        return np.asarray(images).ravel() >= max(MIN_IMAGES, 0.01 * len(self.images))

    def of(self, images: Sequence[str]) -> "PairedCaptions":
        """Those of the images that are among `images`."""
        wanted = set(images)
        chosen = np.array([image in wanted for image in self.images], dtype=bool)
        kept = [image for image in self.images if image in wanted]
        return PairedCaptions(kept, self.first.of(chosen), self.second.of(chosen))


def caption_groups(tokens: pl.DataFrame) -> RowGroups:
    """An image's caption rows in one language as one group; special rows and outliers are in none."""
    frame = tokens.select(*_KEYS, "segment", "special", "position", "token_id")
    counted = (pl.col("segment") == CAPTION) & ~pl.col("special") & pl.col("language").is_not_null()
    word = pl.col("token_id").sort_by("position").last().alias("word")
    table = frame.filter(counted).group_by(_KEYS).agg(pl.len().alias("rows"), word).sort(_KEYS)
    placed = frame.join(table.select(_KEYS).with_row_index("group"), on=_KEYS, how="left", maintain_order="left")
    of_row = placed.select(pl.when(counted).then(pl.col("group").cast(pl.Int64)).otherwise(-1)).to_series()
    named = table.select(*_KEYS, pl.lit(CAPTION).alias("position_set"), "rows", "word")
    return RowGroups(named, of_row.to_numpy())


def paired_captions(index: FeatureIndex, groups: RowGroups, languages: Sequence[str]) -> PairedCaptions:
    """Read a layer's index once.

    Args:
        index: of the layer.
        groups: `caption_groups` of the layer's rows.
        languages: the two.
    """
    return pair(sum_features(index, groups), languages)


def pair(sums: FeatureSums, languages: Sequence[str]) -> PairedCaptions:
    """The sums over caption groups, image by image, in both languages."""
    selected = [sums.groups.images(language, CAPTION) for language in languages]
    common = sorted(set(selected[0][0]) & set(selected[1][0]))
    first, second = (_side(sums, images, selection, common) for images, selection in selected)
    return PairedCaptions(common, first, second)


def _side(sums: FeatureSums, images: list[str], selection: sparse.csr_array, common: list[str]) -> CaptionSide:
    place = {image: row for row, image in enumerate(images)}
    kept = selection[[place[image] for image in common]]
    fired, summed = (sparse.csr_array(kept @ matrix) for matrix in (sums.fired, sums.sums))
    return CaptionSide(np.asarray(kept @ sums.groups.rows()), fired, summed)
