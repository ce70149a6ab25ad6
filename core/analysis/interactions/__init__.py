"""Do the features most associated with the concept act on its word one by one, or together?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Config(Section):
    """Do the features most associated with the concept act on its word one by one, or together?"""

    layers: Layers = (8, 17, 26)
    """Layers among which the one is taken whose features go most with the concept on the selection split."""
    features: Annotated[int, Field(ge=2)] = 3
    """Features ablated in pairs, the highest-ranked ones; the cost grows with their square, times `sets`."""
    images: Positive = 16
    """Test images on which effects are measured."""
    sets: Annotated[int, Field(ge=19)] = 39
    """Random feature sets, the control; 39 is the least at which one of two languages can have q ≤ 0.05 by itself."""
    network: Annotated[int, Field(ge=2)] = 24
    """Highest-ranked features in the co-activation network."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval, and random signs for each p."""
    professions: bool = added(False)
    """Whether intervals draw professions first, then images within each, and p flips the signs of whole professions,
    where samples have a profession: the statement is then about professions."""
    second_features: Annotated[int, Field(ge=2)] | None = added(None)
    """A second number of features at which the mean over pairs is measured, beside random sets of its own; a note says
    where the verdicts differ. Null: none."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.interactions.run:run",
    figures="core.analysis.interactions.figures:figures",
    version=3,
    title="Interactions",
    question="Do the features most associated with {concept} act on the {adjective} word one by one, or together?",
    needs=frozenset({"gpu", "stream", "pairs"}),
    place=140,
    chapter=140,
    best_figure="interactions",
    figures_name_concept=True,
    by_default=False,
)
