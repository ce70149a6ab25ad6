"""What else is known of samples: columns by which images can be sorted."""

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
