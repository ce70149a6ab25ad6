"""Which features persist from layer to layer, and which are born and die?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Which features persist, are born and die from layer to layer."""

    layers: Layers = "all"
    """Layers compared, each with the next."""
    permutations: Positive = 20
    """Row permutations for the matching threshold."""
    rows: Positive = 4000
    """Rows, drawn once for all layers, on which activations are correlated."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.evolution.run:run",
    figures="core.analysis.evolution.figures:figures",
    version=3,
    title="Evolution over layers",
    question="Which features persist from layer to layer, and which are born and die?",
    needs=frozenset({"layers"}),
    place=60,
    chapter=60,
    concept="gender",
)
