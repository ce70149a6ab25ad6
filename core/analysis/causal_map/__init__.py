"""Where does what decides the gendered word stand, and which languages' features carry it?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Config(Section):
    """Where does what decides the gendered word stand, and which languages' features carry it?"""

    layers: Layers = (2, 8, 14, 20, 26, 32)
    """Layers of the map; features are swapped at the one whose classes have the largest mean |AUROC − ½| for gender."""
    images: Positive = 16
    """Test images on which effects are measured."""
    donors: Positive = 1
    """Other pictures of the same gender per image, the control of every interchange."""
    features: Positive = 5
    """Features of a class (shared, of one language alone) that are swapped together, the most associated ones."""
    draws: Annotated[int, Field(ge=19)] = 119
    """Random feature sets per class, the control of swaps; with three classes in two languages 119 is the least at
    which one swap can have q ≤ 0.05 by itself, and 19 the least at which all together can."""
    bootstrap: Positive = 4000
    """Bootstrap draws over images for each interval, and random signs for each p."""
    professions: bool = added(False)
    """Whether intervals draw professions first, then images within each, and p flips the signs of whole professions,
    where samples have a profession: the statement is then about professions."""
    second_features: Positive | None = added(None)
    """A second number of features of a class that are swapped together, beside random sets of its own; a note says
    where the verdicts differ. Null: none."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.causal_map.run:run",
    figures="core.analysis.causal_map.figures:figures",
    version=3,
    title="Causal map",
    question="Where does what decides the gendered word stand, and which languages' features carry it?",
    needs=frozenset({"gpu", "images", "stream", "pairs"}),
    place=200,
    chapter=200,
    best_figure="map",
    concept="gender",
    beside_frozen=True,
    by_default=False,
)
