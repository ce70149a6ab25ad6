"""What else is known of samples: columns by which images can be sorted."""

from collections.abc import Sequence

import polars as pl


def attribute_columns(samples: pl.DataFrame, most_values: int = 50) -> list[str]:
    """Columns of `samples` that sort images into at most `most_values` kinds, by name."""
    reserved = {"sample_id", "image_id", "image", "caption_en", "caption_ar", "split", "twin_id", "pair_id"}
    names = []
    for name, kind in samples.schema.items():
        if name in reserved or kind.is_nested() or kind.is_float():
            continue
        if 2 <= samples[name].drop_nulls().n_unique() <= most_values:
            names.append(name)
    return sorted(names)


def profession_of_image(samples: pl.DataFrame) -> dict[str, str]:
    """The profession of each image, its first sample's; all that have none share the empty one. Empty without the
    column."""
    if "profession" not in samples.columns:
        return {}
    first = samples.group_by("image_id").agg(pl.col("profession").cast(pl.String).fill_null("").first())
    return dict(first.iter_rows())


def attributes_by_image(samples: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """image_id and each column as text, one row per image; null where the image's samples disagree or say nothing."""
    known = [pl.col(name).cast(pl.String).drop_nulls().unique() for name in columns]
    agreed = [
        pl.when(values.len() == 1).then(values.first()).otherwise(None).alias(name)
        for name, values in zip(columns, known, strict=True)
    ]
    return samples.group_by("image_id").agg(agreed).sort("image_id")
