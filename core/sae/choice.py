"""Which of several autoencoders the analyses use: one choice for all layers, so that layers compare."""

import polars as pl

from core.study.sae import Rule

WITHIN = 1.1
"""The sparsest may leave a tenth more variance unexplained than the best: a convention, not a measured noise."""


def frontier(candidates: pl.DataFrame) -> pl.DataFrame:
    """One row a variant, in the order they were listed: the medians over layers of held-out FVU and L0.

    `candidates` has one row a layer and variant: variant, layer, held_out_fvu, held_out_l0.
    """
    medians = (pl.col("held_out_fvu", "held_out_l0").median(),)
    return candidates.group_by("variant", maintain_order=True).agg(*medians)


def choose(candidates: pl.DataFrame, rule: Rule) -> str:
    """The variant that the rule picks: of the lowest FVU, or the least L0 among those within `WITHIN` of the lowest."""
    table = frontier(candidates)
    lowest = pl.col("held_out_fvu").min()
    good = table.filter(pl.col("held_out_fvu") <= lowest * (WITHIN if rule == "sparsest" else 1.0))
    return str(good.sort("held_out_l0", maintain_order=True)["variant"][0])
