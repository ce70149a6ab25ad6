"""Which images are one unit of the statistics: an image and its twin, which share everything but the concept."""

from collections.abc import Hashable

import polars as pl

from core.data.splits import tie


def unit_of_image(samples: pl.DataFrame) -> dict[str, int]:
    """The number of each image's unit: images whose samples are each other's twins, directly or through others.

    Args:
        samples: with sample_id, image_id, and twin_id where there are twins.
    """
    keys: list[list[Hashable]] = []
    images = samples["image_id"].to_list()
    twins = samples["twin_id"].to_list() if "twin_id" in samples.columns else [None] * len(images)
    for image, sample, twin in zip(images, samples["sample_id"].to_list(), twins, strict=True):
        keys.append([("image", image), ("sample", sample), *([("sample", twin)] if twin else [])])
    return {images[row]: number for number, group in enumerate(tie(keys)) for row in group}
