"""Do features that go with gender follow the form of an Arabic word or the gender of the person?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Do features that go with gender follow the form of an Arabic word or the gender of the person?"""

    layers: Layers = "all"
    """Layers whose features are measured."""
    features: Positive = 10
    """Features a layer, ranked first on the selection split, that the findings speak of."""
    draws: Positive = 1000
    """Deals of forms and persons at random, and sets of features that fire as often, for the controls."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.morphology.run:run",
    figures="core.analysis.morphology.figures:figures",
    version=5,
    title="Grammatical gender: form and referent",
    question="Do features that go with gender follow the form of an Arabic word or the gender of the person?",
    place=180,
    chapter=180,
    best_figure="effects",
    concept="gender",
    beside_frozen=True,
    by_default=False,
)
