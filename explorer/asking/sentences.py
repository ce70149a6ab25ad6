"""What may be said of an attribute and a feature: a claim only where the shuffled values leave room for it."""

import polars as pl

WHERE = "mean activation over an image's {} rows, {}"
EVERYWHERE = "image, prompt and caption"


def explained(table: pl.DataFrame, attribute: str | None) -> str:
    """What an attribute explains of a feature, or that which explains most where none is named.

    Args:
        table: the columns of `core.features.breakdown.SPREADS`.
        attribute: one of them; null for the first.
    """
    from core.features.breakdown import explains  # PyTorch, which pages without it need not wait for

    row = table.filter(attribute=attribute) if attribute else table.head(1)
    if row.is_empty():
        which = attribute or "No attribute"
        return (
            f"{which} cannot be compared: the feature or the attribute is the same on all images, or differs on each."
        )
    one = row.with_columns(explains().alias("claimed")).row(0, named=True)
    whole = f"the variance over {one['images']:,} images, {one['units']:,} units"
    if not one["claimed"]:
        return f"{one['attribute']} explains no more than shuffled values do ({share(one)} of {whole}; {control(one)})."
    return f"{one['attribute']} explains {share(one)} of {whole} ({control(one)})."


def share(row: dict[str, float]) -> str:
    """A row's share in percent."""
    return f"{100 * row['share']:.3g} %"


def control(row: dict[str, float]) -> str:
    """What shuffled values explain, and q."""
    return f"shuffled {100 * row['control_low']:.2g} to {100 * row['control_high']:.2g} %, q = {row['q']:.2g}"
