"""Features laid out over the image: maps, boxes on the same grid, and how well the one finds the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.activations.outliers import is_outlier
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.pictures import BrokenImage, seen_size

PERMUTATIONS = 20
"""Random arrangements of a map's cells from which the IoU of chance is taken."""


@dataclass(frozen=True)
class ImageGrid:
    """Which rows of a layer are which cell of which image: `row_image` and `row_cell` [T] (−1 elsewhere).

    A square grid of `side`² = P cells, row-major from the upper left.
    """

    images: tuple[str, ...]
    row_image: Int[np.ndarray, " T"]
    row_cell: Int[np.ndarray, " T"]
    side: int

    def maps(self, layer_inputs: LayerView, feature: int) -> Float[np.ndarray, "N P"]:
        """A feature's activation over the cells of every image."""
        rows, values = layer_inputs.index.csc(feature)
        images = self.row_image[np.asarray(rows, dtype=np.int64)]
        cells = self.row_cell[np.asarray(rows, dtype=np.int64)]
        found = np.zeros((len(self.images), self.side**2))
        found[images[images >= 0], cells[images >= 0]] = np.asarray(values)[images >= 0]
        return found


def find_grid(tokens: pl.DataFrame, images: Sequence[str]) -> ImageGrid | None:
    """The image rows of some images; null when the layer has none, or they make no square.

    A row's cell is its position within its image, so that a dropped row leaves its own cell empty and shifts no other.
    Where image rows were captured once per caption, the first sample's in the first language are taken: captions of a
    language share them. An outlier's cell stays 0 in every map.
    """
    place = {image: number for number, image in enumerate(images)}
    frame = tokens.select("sample_id", "image_id", "language", "segment", "position").with_row_index("row")
    kept = frame.filter(pl.col("segment") == "image")
    language, sample = pl.col("language").cast(pl.String).fill_null(""), pl.col("sample_id").cast(pl.String)
    kept = kept.filter(language == language.min().over("image_id"))
    kept = kept.filter(sample == sample.min().over("image_id"))
    if kept.is_empty():
        return None
    of_image = kept["image_id"].cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    cells, side = place_rows(of_image, kept["position"].to_numpy().astype(np.int64))
    if side == 0:
        return None
    kept = kept.with_columns(pl.Series("cell", cells))
    wanted = pl.col("image_id").cast(pl.String).is_in(list(place)) & (pl.col("cell") >= 0)
    kept = kept.filter(~is_outlier(tokens).gather(kept["row"])).filter(wanted)
    row_image, row_cell = (np.full(tokens.height, -1, dtype=np.int64) for _ in range(2))
    rows = kept["row"].to_numpy()
    row_image[rows] = [place[image] for image in kept["image_id"]]
    row_cell[rows] = kept["cell"].to_numpy()
    return ImageGrid(tuple(images), row_image, row_cell, side)


def place_rows(of_image: Int[np.ndarray, " T"], positions: Int[np.ndarray, " T"]) -> tuple[Int[np.ndarray, " T"], int]:
    """The cell of each image row, and the grid's side; the side is 0 where the rows make no square.

    Images that start at one position are laid out over all positions that any of them has. Where they start at
    different ones, a row is placed from its image's first row; an image that lacks rows then has no cells (−1), for
    the missing one may be the first.

    Args:
        of_image: the number of each row's image.
        positions: each row's position in its sequence; control tokens between the rows leave gaps.
    """
    counts = np.bincount(of_image)
    side = math.isqrt(int(counts.max()) - 1) + 1
    layout = np.unique(positions)
    if layout.size == side**2:
        return np.searchsorted(layout, positions), side
    starts = np.full(counts.size, np.iinfo(np.int64).max)
    np.minimum.at(starts, of_image, positions)
    offsets, whole = positions - starts[of_image], counts[of_image] == side**2
    layout = np.unique(offsets[whole])
    if layout.size != side**2:
        return np.full(positions.size, -1), 0
    return np.where(whole, np.searchsorted(layout, offsets), -1), side


def box_cells(inputs: AnalysisInputs, samples: pl.DataFrame, column: str, side: int) -> Bool[np.ndarray, "N P"]:
    """The cells whose centre lies in each sample's box; for a box between centres, the cell that holds its own.

    Boxes are pixels x0, y0, x1, y1 of the picture as it is seen, upright; a sample without one (or
    with other than four numbers) has no cell.
    """
    found = np.zeros((samples.height, side, side), dtype=bool)
    for number, row in enumerate(samples.select("image", column).rows()):
        image, box = row
        if inputs.images is None or not _is_box(box):
            continue
        width, height = _size(inputs.images / image)
        left, right = _span(box[0] / width, box[2] / width, side)
        top, bottom = _span(box[1] / height, box[3] / height, side)
        found[number, top:bottom, left:right] = True
    return found.reshape(samples.height, -1)


def _is_box(box: Sequence[float | None] | None) -> bool:
    return box is not None and len(box) == 4 and all(edge is not None and math.isfinite(edge) for edge in box)


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    """Cells whose centres (i + ½)/side lie within [low, high), at least the one that holds the middle."""
    first, last = math.ceil(low * side - 0.5), math.ceil(high * side - 0.5)
    if first >= last:
        first = math.floor((low + high) / 2 * side)
        last = first + 1
    first = min(max(first, 0), side - 1)
    return first, min(max(last, first + 1), side)


def _size(path: Path) -> tuple[int, int]:
    try:
        return seen_size(path)
    except BrokenImage as error:
        raise BadInput(f"image {path.name}: cannot be read ({error}); replace the file or drop the sample") from error


def pointing(maps: Float[np.ndarray, "N P"], boxes: Bool[np.ndarray, "N P"]) -> Float[np.ndarray, " N"]:
    """1 where a map's strongest cell lies in the box (Zhang et al. 2018, the pointing game), ties in parts.

    NaN for maps that are 0 everywhere and samples without a box.
    """
    top = maps == maps.max(axis=1, keepdims=True)
    hits = (top & boxes).sum(axis=1) / top.sum(axis=1)
    return np.where((maps.max(axis=1) > 0) & boxes.any(axis=1), hits, np.nan)


def overlap(maps: Float[np.ndarray, "N P"], boxes: Bool[np.ndarray, "N P"]) -> Float[np.ndarray, " N"]:
    """Intersection over union of the box and the cells that reach half of the map's maximum; NaN as in `pointing`."""
    strongest = maps.max(axis=1, keepdims=True)
    lit = (maps >= strongest / 2) & (maps > 0)
    joint = (lit & boxes).sum(axis=1) / np.maximum((lit | boxes).sum(axis=1), 1)
    return np.where((strongest[:, 0] > 0) & boxes.any(axis=1), joint, np.nan)


def chance_overlap(maps: Float[np.ndarray, "N P"], boxes: Bool[np.ndarray, "N P"], seed: int) -> np.ndarray:
    """`overlap` with every map's cells in random order, averaged."""
    random = np.random.default_rng(seed)
    drawn = [overlap(random.permuted(maps, axis=1), boxes) for _ in range(PERMUTATIONS)]
    return np.asarray(np.mean(drawn, axis=0))


def centre_prior(side: int) -> Float[np.ndarray, " P"]:
    """The map that looks at the middle, whatever the image shows."""
    axis = np.arange(side) - (side - 1) / 2
    return np.asarray(np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / side)).reshape(-1)
