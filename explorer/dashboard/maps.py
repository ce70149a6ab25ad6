"""Where in a picture a feature fires: its activation on the picture's rows, laid out as a square of cells."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from explorer.dashboard import words
from explorer.dashboard.kept import kept
from explorer.reading.library import ShownLayer


class Cell(NamedTuple):
    """A cell of the map: column and row, how opaque it is, and its activation in words."""

    x: int
    y: int
    opacity: float
    words: str


class Map(NamedTuple):
    """A feature over a picture: a square of `side`² cells, of which those are listed on which it fires."""

    side: int
    cells: tuple[Cell, ...]
    strongest: str


def activation_maps(shown: ShownLayer, feature: int, images: Sequence[str], strongest: float) -> dict[str, Map]:
    """The map of a feature over each of these pictures; none for a picture whose rows make no square.

    As `core.analysis.visual_patterns.image_maps.find_grid` has it: a row's cell is its position, the rows of the first
    language and sample count where a picture was captured more than once, and special rows stay empty.
    """
    rows, layout = _laid_out(shown)
    side = math.isqrt(len(layout))
    if side < 2 or side * side != len(layout):
        return {}
    wanted = rows.filter(pl.col("image_id").is_in(list(images)) & ~pl.col("special"))
    own = wanted.with_columns(
        pl.Series("value", _values(shown, feature, wanted["index"].to_numpy())),
        pl.Series("cell", np.searchsorted(layout, wanted["position"].to_numpy())),
    )
    parts = own.partition_by("image_id", as_dict=True, maintain_order=True)
    return {str(image): _map(part, side, strongest) for (image,), part in parts.items()}


def strongest_images(shown: ShownLayer, feature: int, most: int) -> list[tuple[str, float]]:
    """The pictures on whose rows a feature fires most strongly, each with its largest activation."""
    active = shown.indexed.feature(feature).activations
    own = active.filter((pl.col("segment") == "image") & ~pl.col("special"))
    best = own.group_by("image_id").agg(pl.col("value").max()).sort("value", "image_id", descending=[True, False])
    return [(str(image), float(value)) for image, value in best.head(most).rows()]


@kept(8)
def _laid_out(shown: ShownLayer) -> tuple[pl.DataFrame, np.ndarray]:
    """The pictures' rows, and the positions that any picture has, in order."""
    rows = _image_rows(shown.indexed.tokens)
    return rows, rows["position"].unique().sort().to_numpy()


def _image_rows(tokens: pl.DataFrame) -> pl.DataFrame:
    own = tokens.filter(pl.col("segment") == "image").select(
        "index",
        "image_id",
        "position",
        "special",
        pl.col("language").cast(pl.String).fill_null("").alias("language"),
        pl.col("sample_id").cast(pl.String).alias("sample_id"),
    )
    own = own.filter(pl.col("language") == pl.col("language").min().over("image_id"))
    return own.filter(pl.col("sample_id") == pl.col("sample_id").min().over("image_id"))


def _values(shown: ShownLayer, feature: int, wanted: np.ndarray) -> np.ndarray:
    """The feature's activation on these rows."""
    rows, values = shown.indexed.index.csc(feature)
    if not len(rows):
        return np.zeros(len(wanted), np.float32)
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, values[places], 0).astype(np.float32)


def _map(rows: pl.DataFrame, side: int, strongest: float) -> Map:
    fired = rows.filter(pl.col("value") > 0).select("cell", "value").rows()
    cells = tuple(
        Cell(cell % side, cell // side, round(0.12 + 0.78 * min(1.0, value / strongest), 2), words.number(value))
        for cell, value in fired
    )
    return Map(side, cells, words.number(max((value for _, value in fired), default=0.0)))
