"""The features of a layer ranked by the concept, once for all analyses."""

from collections.abc import Mapping

from tasks.context import Work
from tasks.layer import open_view


def rank_features(work: Work) -> Mapping[str, float]:
    """Test every feature of the layer on the selection split, and measure how it behaves whatever the label."""
    view = open_view(work, int(work.recipe["layer"]))
    view.ranking.save(work.out)
    view.profile.save(work.out)
    return {"features_ranked": len(view.ranking.strongest())}
