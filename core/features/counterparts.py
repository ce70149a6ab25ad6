"""Which features fire on the same images in another language's captions.

A feature's activations are averaged over an image's caption rows, per language. A counterpart is the feature of the
same layer whose means in the other language correlate most with the feature's own in its language, over images. The
control is the largest correlation of any feature after the images of the own means were shuffled: units (an image with
its twin) trade places with units of as many images, and the images of a unit among themselves. p is corrected for the
choice among all features, for each shuffle is compared by its largest correlation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse

from core.errors import BadInput
from core.features.indexed_layer import IndexedLayer

COUNTERPARTS = pl.Schema(
    {"rank": pl.UInt32, "feature": pl.UInt32, "correlation": pl.Float64, "images": pl.UInt32, "p": pl.Float64}
)
"""One row per feature, the highest correlation (Pearson's) first: the images on whose captions in the other language
it fires, and p, one-sided."""
FEWEST_IMAGES = 5
"""Images on whose captions both must fire."""
MOST_ROWS = 1 << 17
"""Caption rows per language that are read at most, of images evenly spread."""
_BLOCK = 65_536
_SLACK = 1e-9
"""What rounding may add to a correlation that equals another."""


@dataclass(frozen=True)
class CaptionMeans:
    """Mean activations over an image's caption rows in one language: `means` [N, F], one row per image."""

    images: list[str]
    means: sparse.csc_array


@dataclass(frozen=True)
class Counterparts:
    """The features that follow one most closely, of `images` with captions in both languages, of which it fires on
    `firing`; `shuffled` [draws] are the largest correlations of any feature after each shuffle."""

    table: pl.DataFrame
    images: int
    firing: int
    shuffled: Float[np.ndarray, " draws"]


def caption_means(layer: IndexedLayer, language: str) -> CaptionMeans:
    """The mean activation of every feature over each image's caption rows in a language, special rows left out.

    Raises:
        BadInput: no row is of such a caption.
    """
    chosen = (pl.col("segment") == "caption") & (pl.col("language") == language) & ~pl.col("special")
    own = layer.tokens.select("image_id", chosen.alias("chosen")).with_row_index("row").filter("chosen")
    if own.is_empty():
        raise BadInput(f"layer {layer.layer}: no row is of a caption in {language!r}; it was captured without any")
    names = own["image_id"].unique().sort()
    names = names.gather_every(-(-own.height // MOST_ROWS))
    place = pl.DataFrame({"image_id": names}).with_row_index("place")
    placed = own.join(place, on="image_id", how="inner", maintain_order="left")
    rows, images = placed["row"].to_numpy().astype(np.int64), placed["place"].to_numpy().astype(np.int64)
    sums = sparse.csr_array((len(names), layer.index.num_features), dtype=np.float64)
    for start in range(0, layer.index.num_rows, _BLOCK):
        stop = min(start + _BLOCK, layer.index.num_rows)
        own_rows = slice(*np.searchsorted(rows, [start, stop]))
        at = (images[own_rows], rows[own_rows] - start)
        if at[0].size:
            grouping = sparse.csr_array((np.ones(at[0].size), at), shape=(len(names), stop - start))
            sums = sums + grouping @ layer.index.matrix(start, stop)
    counts = np.bincount(images, minlength=len(names))
    return CaptionMeans(names.to_list(), sparse.csc_array(sparse.diags_array(1 / counts) @ sums))


def counterparts(
    own: CaptionMeans, feature: int, other: CaptionMeans, units: Mapping[str, int], most: int = 5, draws: int = 199
) -> Counterparts:
    """The `most` features of `other` that follow `feature` of `own` most closely; none where it fires on fewer than
    `FEWEST_IMAGES` of the images that have captions in both languages.

    Args:
        own: means in the feature's language.
        feature: a column of these.
        other: means of the same layer in another language.
        units: the unit of each image.
        most: features in the answer.
        draws: shuffles.
    """
    common = sorted(set(own.images) & set(other.images))
    rows = [{image: row for row, image in enumerate(side.images)} for side in (own, other)]
    y = own.means[:, [feature]].toarray().ravel()[[rows[0][image] for image in common]]
    firing = int(np.count_nonzero(y))
    x = sparse.csc_array(other.means[[rows[1][image] for image in common]])
    fires = np.diff(x.indptr)
    kept = np.flatnonzero(fires >= FEWEST_IMAGES)
    if firing < FEWEST_IMAGES or np.ptp(y) == 0 or not kept.size:
        return Counterparts(COUNTERPARTS.to_frame(), len(common), firing, np.zeros(0))
    x = x[:, kept]
    orders = shuffled_units(np.array([units[image] for image in common]), draws)
    found = _correlations(x, np.column_stack([y, y[orders].T]))
    shuffled = found[:, 1:].max(axis=0)
    best = np.lexsort((kept, -found[:, 0]))[:most]
    best = best[np.isfinite(found[best, 0])]
    exceeding = (shuffled[None, :] >= found[best, :1] - _SLACK).sum(axis=1)
    columns = {
        "rank": np.arange(1, best.size + 1),
        "feature": kept[best],
        "correlation": found[best, 0],
        "images": fires[kept[best]],
        "p": (1 + exceeding) / (1 + draws),
    }
    return Counterparts(pl.DataFrame(columns).cast(COUNTERPARTS), len(common), firing, shuffled)


def shuffled_units(units: Int[np.ndarray, " N"], draws: int, seed: int = 0) -> Int[np.ndarray, "draws N"]:
    """Orders of N images in which units trade places with units of as many images, their images in any order."""
    rng = np.random.default_rng(seed)
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    orders = np.empty((draws, codes.size), dtype=np.int64)
    by_unit = np.argsort(codes, kind="stable")
    for size in np.unique(sizes):
        members = by_unit[sizes[codes[by_unit]] == size].reshape(-1, size)
        for order in orders:
            order[members] = rng.permuted(rng.permutation(members), axis=1)
    return orders


def _correlations(x: sparse.csc_array, y: Float[np.ndarray, "N n"]) -> Float[np.ndarray, "F n"]:
    """Pearson's, of each column of `x` and each of `y`; −∞ where one is constant."""
    count = x.shape[0]
    centred = y - y.mean(axis=0)
    mean = np.asarray(x.sum(axis=0)).ravel() / count
    spread = np.sqrt(np.maximum(np.asarray(x.multiply(x).sum(axis=0)).ravel() / count - mean**2, 0))
    scale = spread[:, None] * centred.std(axis=0)
    covariance = np.asarray(x.T @ centred) / count
    return np.asarray(np.divide(covariance, scale, out=np.full(scale.shape, -np.inf), where=scale > 1e-12))
