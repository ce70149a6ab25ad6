"""How far apart do {those} lie along one direction of the stream?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """How far apart do {those} lie along one direction of the stream?"""

    layers: Layers = "all"
    """Layers in which the direction is fitted."""
    shown: Positive = 4
    """Layers, evenly spaced, whose images are drawn in three dimensions."""
    images: Annotated[int, Field(ge=10)] = 40
    """Most test images drawn in a picture."""
    draws: Positive = 400
    """Deals of the labels to the test images, and random directions, for the controls."""
    bootstrap: Positive = 1000
    """Resamples of the images for intervals."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.direction.run:run",
    figures="core.analysis.direction.figures:figures",
    version=1,
    title="{Concept} direction",
    question="How far apart do {those} lie along one direction of the stream?",
    place=195,
    chapter=195,
    best_figure="space",
    figures_name_concept=True,
    by_default=False,
)
