"""The features of a layer as a whole: those that go most with a concept."""

from dataclasses import dataclass

import polars as pl

from core.errors import BadInput
from core.features.index import FeatureIndex
from core.features.ranking import Ranking


@dataclass(frozen=True, repr=False)
class LayerFeatures:
    """All features of a layer's SAE: `table` has their statistics, `ranking` how each goes with the concept."""

    index: FeatureIndex
    ranking: Ranking

    @property
    def table(self) -> pl.DataFrame:
        """One row per feature: the columns of `core.features.statistics.FEATURES`."""
        return self.index.features

    def top(self, concept: str, n: int = 10) -> pl.DataFrame:
        """The features that go most with a concept on the selection split, the strongest first.

        Args:
            concept: its name, the one that the study asks for.
            n: how many, at most.

        Returns:
            rank, feature, density (share of rows in which it is active), and its strongest association: language,
            position_set, auroc, p (two-sided, not corrected for the number of features), support (rows).

        Raises:
            BadInput: the layer's features were ranked by another concept.
        """
        known = self.ranking.concept.name
        if concept != known:
            raise BadInput(f"concept {concept!r}: features of this study are ranked by {known!r}; ask for that")
        order = self.ranking.strongest()[:n]
        ranked = pl.DataFrame(
            {"rank": range(1, len(order) + 1), "feature": order}, schema={"rank": pl.UInt32, "feature": pl.UInt32}
        )
        density = self.table.select(pl.col("feature").cast(pl.UInt32), "density")
        found: pl.DataFrame = ranked.join(density, on="feature", how="left", maintain_order="left").join(
            self._strongest_association(), on="feature", how="left", maintain_order="left"
        )
        return found

    def _strongest_association(self) -> pl.DataFrame:
        """Per feature, where its AUROC is farthest from ½: of the decision sets, if any of them was tested."""
        tested = self.ranking.associations
        decision = tested.filter(pl.col("position_set").is_in(list(self.ranking.concept.decision_sets)))
        rows = decision if decision.height else tested
        distance = (pl.col("auroc") - 0.5).abs()
        columns = ("feature", "language", "position_set", "auroc", "p", "support")
        ordered = rows.sort("feature", distance, descending=[False, True], maintain_order=True)
        return ordered.unique("feature", keep="first", maintain_order=True).select(columns)

    def __len__(self) -> int:
        return self.index.num_features

    def __repr__(self) -> str:
        return f"<{len(self)} features, ranked by {self.ranking.concept.name}>"
