"""Features by where in the image and on what they fire, as resamples of the images have it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import sparse

from core.analysis.visual_patterns.image_maps import ImageGrid
from core.data.attributes import attribute_columns, attributes_by_image
from core.features.index import FeatureIndex
from core.features.row_groups import code_blocks
from core.features.shuffles import exchangeable, exchanged
from core.stats.clusters import balanced
from core.stats.enrichment import PRIOR, STRONG

LEAST_IMAGES = 5
"""Least images that a feature fires on to be clustered."""


@dataclass(frozen=True)
class Attributes:
    """Attributes of N images: `names` [V] of their values (`place: beach`), which attribute each belongs to, and
    `values` [N, V], whether an image has it."""

    names: tuple[str, ...]
    of: Int[np.ndarray, " V"]
    values: Float[np.ndarray, "N V"]

    @classmethod
    def read(cls, samples: pl.DataFrame, images: Sequence[str]) -> "Attributes":
        """The attributes of some images; a value that is not known is none."""
        columns = attribute_columns(samples)
        order = pl.DataFrame({"image_id": images}, schema={"image_id": pl.String})
        known = order.join(attributes_by_image(samples, columns), on="image_id", how="left", maintain_order="left")
        names, of, values = [], [], []
        for number, column in enumerate(columns):
            for value in known[column].drop_nulls().unique().sort().to_list():
                names.append(f"{column}: {value}")
                of.append(number)
                values.append((known[column] == value).fill_null(False).to_numpy().astype(np.float64))
        shape = np.array(values).T if values else np.zeros((len(images), 0))
        return cls(tuple(names), np.array(of, dtype=np.int64), shape)

    def exchanged(self, units: Int[np.ndarray, " N"], random: np.random.Generator) -> "Attributes":
        """Every unit with the attributes of another one."""
        strata = exchangeable([(0,)] * len(units), units.tolist())
        return replace(self, values=self.values[exchanged(strata, random)])

    def log_odds(self, strong: Float[np.ndarray, "F N"], weights: Float[np.ndarray, " N"]) -> Float[np.ndarray, "F V"]:
        """Log odds of each value where a feature is strong against elsewhere, as `core.stats.enrichment.enrich` has
        them; images count by `weights`, which are part of `strong` too."""
        inside, total = strong @ self.values, weights @ self.values
        found = np.zeros_like(inside)
        for attribute in np.unique(self.of):
            own = self.of == attribute
            found[:, own] = _log_odds(inside[:, own], total[own])
        return np.asarray(found)


def _log_odds(inside: Float[np.ndarray, "F V"], total: Float[np.ndarray, " V"]) -> Float[np.ndarray, "F V"]:
    prior = PRIOR * np.maximum(total, 1e-9) / max(total.sum(), 1)
    logits = []
    for counts in (inside, total - inside):
        rest = counts.sum(axis=1, keepdims=True) + prior.sum() - counts - prior
        logits.append(np.log((counts + prior) / np.maximum(rest, 1e-9)))
    return np.asarray(logits[0] - logits[1])


@dataclass(frozen=True)
class Firing:
    """Where F features fire on N images: `codes` [rows, F], the image and the cell of each row, the grid's `side`, and
    `strong` [F, N], whether an image is in the strongest quarter of a feature."""

    features: Int[np.ndarray, " F"]
    codes: sparse.csr_array
    row_image: Int[np.ndarray, " rows"]
    row_cell: Int[np.ndarray, " rows"]
    side: int
    strong: Bool[np.ndarray, "F N"]

    @classmethod
    def read(cls, index: FeatureIndex, grid: ImageGrid, most: int) -> "Firing":
        """The features that fire on most images of a grid, at most `most`, each on 5 images at least."""
        kept = grid.row_image >= 0
        images = grid.row_image[kept]
        codes = sparse.csr_array(sparse.vstack([block[kept[start:stop]] for start, stop, block in code_blocks(index)]))
        by_image = sparse.csr_array(
            (np.ones(images.size), (images, np.arange(images.size))), shape=(len(grid.images), images.size)
        )
        means = sparse.csc_array(by_image @ codes)
        fired = np.diff(means.indptr)
        live = np.flatnonzero(fired >= LEAST_IMAGES)
        features = np.sort(live[np.argsort(-fired[live], kind="stable")[:most]])
        strength = means[:, features].toarray().T
        strong = (strength > np.quantile(strength, STRONG, axis=1, keepdims=True)) & (strength > 0)
        return cls(features, sparse.csr_array(codes[:, features]), images, grid.row_cell[kept], grid.side, strong)

    def where(self, weights: Float[np.ndarray, " N"]) -> Float[np.ndarray, "F P"]:
        """The share of each cell in a feature's activation; the same everywhere for a silent one."""
        cells = self.side**2
        parts = (weights[self.row_image], (self.row_cell, np.arange(self.row_cell.size)))
        total = (sparse.csr_array(parts, shape=(cells, self.row_cell.size)) @ self.codes).toarray().T
        whole = total.sum(axis=1, keepdims=True)
        return np.where(whole > 0, total / np.where(whole > 0, whole, 1), 1 / cells)


@dataclass(frozen=True)
class Described:
    """Features described by where and what, for each of some resamples of the images (`weights` [R, N]).

    Square roots of the maps' shares: their distance is Hellinger's.
    """

    firing: Firing
    attributes: Attributes
    weights: Float[np.ndarray, "R N"]
    maps: Float[np.ndarray, "R F P"]

    @classmethod
    def of(cls, firing: Firing, attributes: Attributes, weights: Float[np.ndarray, "R N"]) -> "Described":
        """Describe features as each resample has them."""
        return cls(firing, attributes, weights, np.stack([np.sqrt(firing.where(one)) for one in weights]))

    def what(self, resample: int) -> Float[np.ndarray, "F V"]:
        """Log odds of the attributes' values in a resample."""
        own = self.weights[resample]
        return self.attributes.log_odds(self.firing.strong * own, own)

    def numbers(self, resample: int) -> Float[np.ndarray, "F D"]:
        """Where and what, which weigh the same."""
        return balanced([self.maps[resample], *([self.what(resample)] if self.attributes.names else [])])

    def without_pattern(self, units: Int[np.ndarray, " N"], random: np.random.Generator) -> "Described":
        """The same features, each one's map shifted at random over the image's edges, and each unit of images with the
        attributes of another: what maps and attributes have by themselves is kept, what features share is not."""
        side, count = self.firing.side, len(self.firing.features)
        cell = np.arange(side)
        down, right = (random.integers(side, size=(count, 1)) for _ in range(2))
        places = ((cell + down) % side)[:, :, None] * side + ((cell + right) % side)[:, None, :]
        moved = np.take_along_axis(self.maps, places.reshape(1, count, -1), axis=2)
        return replace(self, maps=moved, attributes=self.attributes.exchanged(units, random))
