"""What do the features chosen for the concept fire on, and what do they promote?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """What the features chosen for the concept fire on and what they promote."""

    layers: Layers = "all"
    """Layers whose features are described."""
    features: Positive = 5
    """Features a layer, the highest-ranked ones on the selection split."""
    quantiles: Positive = 4
    """Activation quantiles from which contexts are shown."""
    contexts: Positive = 3
    """Contexts shown a quantile."""
    promoted: Positive = 10
    """Promoted and suppressed tokens listed a feature."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.interpretation.run:run",
    figures="core.analysis.interpretation.figures:figures",
    version=8,
    title="Top features and their examples",
    question="What do the features chosen for {concept} fire on, and what do they promote?",
    needs=frozenset({"head"}),
    place=20,
    chapter=20,
    best_figure="explanations",
)
