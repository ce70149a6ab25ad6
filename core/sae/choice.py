"""Which of several autoencoders the analyses use: one choice for all layers, so that layers compare."""

import polars as pl

from core.study.sae import Rule

SHARE = 0.95
"""The sparsest must explain this share of the variance that the best one explains. A convention; a share of what is
left unexplained would always take the densest, for FVU falls by about a third with every doubling of k
(the captioner's rows: 0.094 at k 8, 0.066 at 16)."""


def frontier(candidates: pl.DataFrame) -> pl.DataFrame:
    """One row per variant, in the order they were listed: the medians over layers of held-out FVU and L0.

    `candidates` has one row per layer and variant: variant, layer, held_out_fvu (null where the layer's rows are all
    the same), held_out_l0.
    """
    medians = (pl.col("held_out_fvu", "held_out_l0").median(),)
    return candidates.group_by("variant", maintain_order=True).agg(*medians)


def choose(candidates: pl.DataFrame, rule: Rule) -> str:
    """The variant that the rule picks: of the lowest FVU, or the least L0 among those that explain enough."""
    table = frontier(candidates)
    explained = 1 - pl.col("held_out_fvu")
    good = table.filter(explained >= explained.max() * (SHARE if rule == "sparsest" else 1.0))
    good = good if len(good) else table.sort("held_out_fvu", nulls_last=True).head(1)  # none explains anything
    return str(good.sort("held_out_l0", maintain_order=True)["variant"][0])
