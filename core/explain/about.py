"""What explainers and scorers know beside the examples: samples, their pictures, promoted tokens, pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
from PIL import Image

from core.data.attributes import attribute_columns
from core.data.twins import unit_of_image


@dataclass(frozen=True)
class About:
    """One SAE's features, and what is known of the samples that they were measured on.

    Args:
        sae_id: the SAE, as in every table.
        features: the features that are asked about; one without examples never fires.
        samples: as `core.data.samples` writes them; empty where none are known.
        promoted: `core.features.influence.PROMOTED`; null where the model has no vocabulary to look at.
        open_picture: opens the picture that a table names; raises `BrokenImage`. Null without pictures.
        pairs: `core.explain.twins.TWINS`, for the scorer of twins; null without.
        seed: of every draw.
        draws: resamples behind each interval.
    """

    sae_id: str
    features: Sequence[int]
    samples: pl.DataFrame
    promoted: pl.DataFrame | None = None
    open_picture: Callable[[str], Image.Image] | None = None
    pairs: pl.DataFrame | None = None
    seed: int = 0
    draws: int = 1000

    @cached_property
    def attributes(self) -> dict[str, str]:
        """What is known of each sample, in place of its picture: `colour: red; place: beach`."""
        names = attribute_columns(self.samples) if self.samples.height else []
        if not names:
            return {}
        rows = self.samples.select("sample_id", *(pl.col(name).cast(pl.String) for name in names)).iter_rows()
        return {
            sample: "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True) if value)
            for sample, *values in rows
        }

    @cached_property
    def units(self) -> dict[str, int]:
        """The unit of each sample: its image, together with the image's twins."""
        if not self.samples.height:
            return {}
        of_image = unit_of_image(self.samples)
        pairs = self.samples.select("sample_id", "image_id").iter_rows()
        return {sample: of_image[image] for sample, image in pairs}
