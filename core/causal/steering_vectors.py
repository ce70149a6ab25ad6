"""Further vectors to steer with, and random directions to compare them with: all as long as the features' vector."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.data.twins import unit_of_image
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.stats.probes import Labelled, Probe, discriminant, logistic
from core.stats.projection import random_directions

LDA, PROBE = "LDA", "probe"
ISOTROPIC, COVARIANCE = "isotropic", "residual covariance"
ROWS = 8192
"""Most rows that the covariance of the stream is taken of."""


def further_vectors(
    view: LayerView, features: Sequence[int], signs: Sequence[int], length: float, seed: int
) -> Mapping[str, Float[Tensor, " D"]]:
    """Each feature by itself, toward its side, the linear discriminant and the probe, by name and of one length."""
    decoder = view.sae.W_dec.detach().float().cpu()
    found = {f"feature {f}": sign * decoder[f] for f, sign in zip(features, signs, strict=True)}
    return {name: as_long(vector, length) for name, vector in (found | fitted_directions(view, seed)).items()}


def fitted_directions(view: LayerView, seed: int) -> dict[str, Float[Tensor, " D"]]:
    """Two directions toward the concept's first side, of length 1: of a linear discriminant with Ledoit–Wolf shrinkage,
    and of a logistic probe.

    Each is fitted on the training split's image means at every decision position set and language, as the analyses
    `direction` and `probes` fit theirs, and averaged over these at length 1. Without enough images of both sides there
    the first word is read; without any there is no direction.
    """
    fits: dict[str, Callable[[Labelled], Probe]] = {LDA: discriminant, PROBE: lambda train: logistic(train, seed)}
    for names in (view.concept.decision_sets, (view.concept.positions.first,)):
        parts = [part for language in view.languages for name in names for part in _training(view, language, name)]
        if parts:
            means = {
                name: np.mean([_unit(fit(part).direction) for part in parts], axis=0) for name, fit in fits.items()
            }
            return {name: torch.from_numpy(_unit(mean)).float() for name, mean in means.items() if mean.any()}
    return {}


def _training(view: LayerView, language: str, position_set: str) -> list[Labelled]:
    """The training images there, none where a side has too few."""
    images, means = stream_means(view.stream_sums, view.groups, language, position_set)
    known = labelled_images(images, Labels.of(view.concept, view.samples, language), "train")
    if known is None:
        return []
    units = unit_of_image(view.samples)
    own = np.array([units[images[row]] for row in known.rows], dtype=np.int64)
    return [Labelled(means[known.rows].astype(np.float64), known.positive, units=own)]


def _unit(vector: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-30))


def isotropic(dimensions: int, draws: int, length: float, seed: int) -> tuple[Float[Tensor, " D"], ...]:
    """Random vectors of any direction alike, of one length."""
    drawn = np.random.default_rng(seed).normal(size=(draws, dimensions))
    return tuple(as_long(torch.from_numpy(vector).float(), length) for vector in drawn)


def from_covariance(view: LayerView, draws: int, length: float, seed: int) -> tuple[Float[Tensor, " D"], ...]:
    """Random vectors that vary as the stream's rows on the selection split do, of one length.

    The covariance is of at most `ROWS` rows (by seed), special ones left out. Isotropic vectors alone are an easy
    control: most of their length lies where the stream never varies.
    """
    images = view.samples.filter(pl.col("split") == "select")["image_id"].unique().implode()
    usable = view.table.tokens.select(~pl.col("special") & pl.col("image_id").is_in(images)).to_series()
    rows = np.flatnonzero(usable.to_numpy())
    if rows.size < 2:
        return ()
    if rows.size > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    drawn = random_directions(view.table.read(rows).numpy().astype(np.float64), draws, seed)
    return tuple(as_long(torch.from_numpy(vector).float(), length) for vector in drawn)


def as_long(vector: Float[Tensor, " D"], length: float) -> Float[Tensor, " D"]:
    """`vector` scaled to a length."""
    scaled: Tensor = vector * (length / vector.norm().clamp(min=1e-30))
    return scaled
