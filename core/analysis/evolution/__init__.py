"""Which features have a match in the next layer, and which are born or die there?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Which features have a match in the next layer, and which are born or die there."""

    layers: Layers = "all"
    """Layers compared, each with the next."""
    permutations: Positive = 20
    """Row permutations for the matching threshold."""
    rows: Positive = 4000
    """Rows of test images, drawn once for all layers, on which activations are correlated."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.evolution.run:run",
    figures="core.analysis.evolution.figures:figures",
    version=8,
    title="Evolution over layers",
    question="Which features have a match in the next layer, and which are born or die there?",
    needs=frozenset({"layers"}),
    place=60,
    chapter=60,
    best_figure="persistence",
    figures_name_concept=True,
    beside_seed=True,
)
