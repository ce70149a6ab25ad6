"""Means over images with intervals and p-values, an image and its twin drawn together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from core.features.inputs import AnalysisInputs
from core.stats.against_sets import against_sets
from core.stats.intervals import Interval, bootstrap_mean, weights


@dataclass(frozen=True)
class Resampling:
    """How means over images get their intervals and p-values: the study's seed and units, and how many draws."""

    inputs: AnalysisInputs
    bootstrap: int

    def mean(self, values: Float[np.ndarray, " n"], images: Sequence[str]) -> Interval:
        """The mean with its interval over units; `images` name what each value is of."""
        return bootstrap_mean(values, self.bootstrap, self.inputs.seed, self.inputs.units(images))

    def ratio(self, part: Float[np.ndarray, " n"], whole: Float[np.ndarray, " n"], images: Sequence[str]) -> Interval:
        """Sum of `part` over sum of `whole`, both resampled together; resamples without a whole are left out."""
        counts = weights(part.size, self.bootstrap, self.inputs.seed, self.inputs.units(images))
        wholes = counts @ whole
        low, high = np.quantile((counts @ part)[wholes > 0] / wholes[wholes > 0], [0.025, 0.975])
        return Interval(float(low), float(part.sum() / whole.sum()), float(high))

    def against(
        self, values: Float[np.ndarray, " n"], random: pl.DataFrame, images: Sequence[str]
    ) -> dict[str, float | int]:
        """Where a mean stands among random sets' on the same images, two-sided: control, control_low, control_high,
        draws, p; `draws` alone where there are none.

        `random` has draw, image_id, value, one row a draw and image.
        """
        if random.is_empty():
            return {"draws": 0}
        wide = random.pivot("draw", index="image_id", values="value", maintain_order=True)
        drawn = pl.DataFrame({"image_id": images}).join(wide, on="image_id", how="left", maintain_order="left")
        matrix, units = drawn.drop("image_id").to_numpy().T, self.inputs.units(images)
        found = against_sets(values, matrix, self.bootstrap, self.inputs.seed, units)
        return dict(zip(("control", "control_low", "control_high", "draws", "p"), found, strict=True))
