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
from core.features.shuffles import shuffle_labels
from core.stats.intervals import weights
from core.stats.matching import permute_within

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

    `orders` are the images whose second caption stands beside each image's first one, within `strata`: images of one
    label and of one value of the `columns`. `sides` is null where a side of the concept has fewer than five images.
    """

    images: list[str]
    units: Int[np.ndarray, " N"]
    counts: Int[np.ndarray, "draws N"]
    strata: Int[np.ndarray, " N"]
    orders: Int[np.ndarray, "permutations N"]
    columns: tuple[str, ...]
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
    strata, columns = _strata(inputs.samples, images, labels)
    rng = np.random.default_rng([inputs.seed, 1])
    orders = np.stack([permute_within(strata, rng) for _ in range(permutations)])
    counts = weights(len(images), BOOTSTRAP, inputs.seed, units)
    return Design(images, units, counts, strata, orders, columns, _sides(inputs, images, labels, permutations))


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


def _strata(
    samples: pl.DataFrame, images: Sequence[str], labels: Labels
) -> tuple[Int[np.ndarray, " N"], tuple[str, ...]]:
    """Images that are alike in profession, where the samples have that column, and in the concept's label."""
    frame = pl.DataFrame({"image_id": images})
    known = labels.table.select("image_id", pl.col("positive").cast(pl.String).alias("label"))
    columns: tuple[str, ...] = ()
    if PROFESSION in samples.columns:
        known = known.join(attributes_by_image(samples, [PROFESSION]), on="image_id", how="left")
        columns = (PROFESSION,)
    joined = frame.join(known, on="image_id", how="left", maintain_order="left")
    strata = joined.select(pl.struct("label", *columns).rank("dense").cast(pl.Int64)).to_series().to_numpy()
    return strata, columns


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
