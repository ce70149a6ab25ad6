"""How a scan's features are ranked, chosen and tested."""

from typing import Annotated, Literal

from pydantic import Field

from core.study.section import Positive, Section


class RankingSettings(Section):
    """Which features are tested and chosen, and how many random draws are behind the numbers."""

    by: Literal["spearman", "auroc_3_0", "auroc_23_01"] = "spearman"
    """Measure whose distance from no effect on the selection split ranks the features."""
    top: Positive = 1000
    """Features that get a second look and are scored on held-out sentences."""
    min_support: Positive = 5
    """Features that fire on fewer selection sentences are not tested."""
    permutations: Annotated[int, Field(ge=200)] = 1000
    """Exchanges of labels behind each permutation test; no p is below 1 / (permutations + 1)."""
    resamples: Positive = 200
    """Bootstrap resamples of families in which all features are ranked again, for the stability of the chosen."""
    bootstrap: Positive = 1000
    """Bootstrap resamples of families for each interval."""
    seed: int = 0
    """Seed of all draws."""
