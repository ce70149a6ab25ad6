"""How alike two layers' geometries are: debiased linear CKA on image means."""

import numpy as np
import polars as pl
from jaxtyping import Float

MASSIVE = 10.0
"""A dimension that varies more than this many times the median one is massive, and is brought down to it."""
MOST_IMAGES = 1000


def centred_gram(x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n n"]:
    """U-centred Gram matrix (Székely & Rizzo 2014): its inner products estimate HSIC without bias.

    Massive dimensions are standardised first, or CKA would compare them alone.
    """
    spread = x.std(axis=0)
    usual = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
    scale = np.where(spread > MASSIVE * usual, usual / np.maximum(spread, 1e-12), 1.0)
    centred = ((x - x.mean(axis=0)) * scale).astype(np.float64)
    return u_centred(centred @ centred.T)


def u_centred(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The Gram matrix less its row and column means, so that rows sum to 0 and the diagonal is 0; written into `gram`.

    For some of the images, a matrix that was centred over all of them gives the same as one that was not.
    """
    n = len(gram)
    np.fill_diagonal(gram, 0)
    sums = gram.sum(axis=0) / (n - 2)
    gram -= sums[:, None] + sums[None, :] - sums.sum() / (n - 1)
    np.fill_diagonal(gram, 0)
    return np.asarray(gram)


def cka(grams: list[Float[np.ndarray, "n n"]]) -> Float[np.ndarray, "L L"]:
    """Debiased linear CKA between all pairs (Kornblith et al. 2019; debiased as Nguyen et al. 2021).

    NaN for a layer whose own estimate is not positive.
    """
    flat = np.stack([gram.ravel().astype(np.float32) for gram in grams])
    products = (flat @ flat.T).astype(np.float64)
    own = np.sqrt(np.where(np.diag(products) > 0, np.diag(products), np.nan))
    return np.asarray(products / np.outer(own, own))


def pick_images(images: int, seed: int) -> np.ndarray:
    """At most 1,000 images, drawn by seed, in order."""
    return np.sort(np.random.default_rng(seed).permutation(images)[:MOST_IMAGES])


def cka_table(place: str, layers: list[int], matrix: Float[np.ndarray, "L L"], images: int) -> pl.DataFrame:
    """place, layer, other_layer, cka, images: every ordered pair."""
    schema = {"layer": pl.UInt16, "other_layer": pl.UInt16, "cka": pl.Float64}
    frame = pl.DataFrame(
        {
            "layer": np.repeat(layers, len(layers)),
            "other_layer": np.tile(layers, len(layers)),
            "cka": matrix.ravel(),
        }
    ).cast(schema)  # type: ignore[arg-type]
    return frame.select(pl.lit(place).alias("place"), pl.all(), pl.lit(images).alias("images"))
