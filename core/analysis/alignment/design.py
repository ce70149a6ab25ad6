"""The images that are compared, and what is drawn once for all layers: resamples, shuffled pairs, shuffled labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from core.activations.stream_rows import SHARED
from core.data.attributes import attributes_by_image
from core.features.associations import MIN_CLASS, Labels
from core.features.inputs import AnalysisInputs
from core.features.shuffles import Stratum, exchangeable, exchanged, shuffle_labels
from core.stats.intervals import weights

BOOTSTRAP = 1000
PROFESSION = "profession"
SPLIT = "test"


@dataclass(frozen=True)
class Sides:
    """The images that are on one side of the concept in both languages: their `rows`, and whether each is on the first
    side, as labelled in column 0 and as shuffled in the others."""

    rows: Int[np.ndarray, " m"]
    positive: Bool[np.ndarray, "m draws1"]


@dataclass(frozen=True)
class Design:
    """N test images with captions in both languages.

    `orders` are the images whose second caption stands beside each image's first one. They are exchanged within
    `strata`, units together: an image gets the caption of one with the same labels in both languages and the same value
    of the `columns`. `unknown` is how many lack one of these and stay where they are. `sides` is null where a side of
    the concept has fewer than five images.
    """

    images: list[str]
    units: Int[np.ndarray, " N"]
    counts: Int[np.ndarray, "draws N"]
    strata: Sequence[Stratum]
    orders: Int[np.ndarray, "permutations N"]
    columns: tuple[str, ...]
    unknown: int
    sides: Sides | None

    @property
    def moved(self) -> float:
        """The share of images that another one's caption stands beside, over the shuffles."""
        return float((self.orders != np.arange(len(self.images))).mean())


def make_design(inputs: AnalysisInputs, paired: Sequence[str], most: int, permutations: int) -> Design:
    """Draw.

    Args:
        inputs: samples, units and seed.
        paired: images with captions in both languages.
        most: images at most; whole units are drawn.
        permutations: shuffles.
    """
    images = _chosen(inputs, paired, most)
    units = inputs.units(images)
    labels = Labels.shared(inputs.concept, inputs.samples, inputs.languages)
    columns = tuple(name for name in (PROFESSION,) if name in inputs.samples.columns)
    told = [inputs.concept.label_column(language) for language in inputs.languages[:2]]
    kinds, unknown = _kinds(inputs.samples, images, (*told, *columns))
    strata = exchangeable([(kind,) for kind in kinds.tolist()], units.tolist())
    rng = np.random.default_rng([inputs.seed, 1])
    orders = np.stack([exchanged(strata, rng) for _ in range(permutations)])
    counts = weights(len(images), BOOTSTRAP, inputs.seed, units)
    sides = _sides(inputs, images, labels, permutations)
    return Design(images, units, counts, strata, orders, columns, unknown, sides)


def _chosen(inputs: AnalysisInputs, paired: Sequence[str], most: int) -> list[str]:
    """Test images in their order; whole units while there is room."""
    test = set(inputs.samples.filter(pl.col("split") == SPLIT)["image_id"])
    own = [image for image in paired if image in test]
    if len(own) <= most:
        return own
    units = inputs.units(own)
    order = np.random.default_rng(inputs.seed).permutation(np.unique(units))
    place = {int(unit): number for number, unit in enumerate(order)}
    ranked = np.argsort([place[int(unit)] for unit in units], kind="stable")[:most]
    return [own[number] for number in sorted(ranked)]


def _kinds(samples: pl.DataFrame, images: Sequence[str], columns: Sequence[str]) -> tuple[Int[np.ndarray, " N"], int]:
    """Images of one kind are alike in all columns; and how many are of no kind but their own, for one is unknown."""
    known = pl.DataFrame({"image_id": images}).join(
        attributes_by_image(samples, columns), on="image_id", how="left", maintain_order="left"
    )
    unknown = known.select(pl.any_horizontal(pl.col(columns).is_null())).to_series().to_numpy()
    kinds = known.select(pl.struct(columns).rank("dense").cast(pl.Int64)).to_series().to_numpy()
    return np.where(unknown, -1 - np.arange(len(images)), kinds), int(unknown.sum())


def _sides(inputs: AnalysisInputs, images: Sequence[str], labels: Labels, draws: int) -> Sides | None:
    table = labels.table.filter(pl.col("image_id").is_in(list(images)))
    own = Labels(table, labels.sides)
    known = pl.DataFrame({"image_id": images}).with_row_index("row").join(table, on="image_id", maintain_order="left")
    known = known.filter(pl.col("positive").is_not_null())
    positive = known["positive"].to_numpy().astype(bool)
    if min(int(positive.sum()), int((~positive).sum())) < MIN_CLASS:
        return None
    units = dict(zip(images, inputs.units(list(images)).tolist(), strict=True))
    shuffled = shuffle_labels({SHARED: own}, SPLIT, draws, inputs.seed, units).of(known["image_id"].to_list(), SHARED)
    rows = known["row"].to_numpy().astype(np.int64)
    return Sides(rows, np.concatenate([positive[:, None], shuffled], axis=1))
