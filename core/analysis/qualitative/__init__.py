"""A gallery: captions before and after intervention, picked by rule, and how often their gender changes."""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.section import Positive, Section


class Config(Section):
    """A gallery of images with captions before and after intervention, picked by rule."""

    layer: Annotated[int, Field(ge=0)] = 17
    """Layer of the interventions and the heat strips."""
    features: Positive = 3
    """Features ablated or amplified together."""
    images: Positive = 8
    """Images shown."""
    random_sets: Positive = 3
    """Matched random sets that are ablated, and added, in the chosen features' place."""
    max_new_tokens: Positive = 40
    """Length at which a generated caption is cut."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.qualitative.run:run",
    figures="core.analysis.qualitative.figures:figures",
    version=8,
    title="Gallery",
    question="Do generated captions change gender when features are ablated or amplified?",
    needs=frozenset({"gpu", "stream"}),
    place=70,
    chapter=70,
    best_figure="changes",
    concept="gender",
)
