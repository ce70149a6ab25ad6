"""Do features tell the person's gender on words whose form does not?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Do features tell the person's gender on words whose form does not?"""

    layers: Layers = "all"
    """Layers whose features are measured."""
    features: Positive = 10
    """Features a layer, ranked first on the selection split, that the findings speak of."""
    draws: Positive = 200
    """Deals of the labels to the images, and sets of features that fire as often, for the controls."""
    bootstrap: Positive = 1000
    """Resamples of the images for intervals."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.semantics.run:run",
    figures="core.analysis.semantics.figures:figures",
    version=4,
    title="Semantic gender: beyond the form",
    question="Do features tell the person's gender on words whose form does not?",
    place=190,
    chapter=190,
    best_figure="beyond_form",
    concept="gender",
    beside_frozen=True,
    by_default=False,
)
