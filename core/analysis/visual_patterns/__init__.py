"""Where in the image a feature fires, against boxes, matched features, the image's middle, and a random cell."""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Config(Section):
    """Where in the image a feature fires, against boxes and matched features."""

    layers: Layers = (8, 17, 26)
    """Layers mapped."""
    features: Positive = 5
    """Features a layer."""
    top_images: Positive = 8
    """Images shown a feature."""
    occluded_images: Annotated[int, Field(ge=0)] = 6
    """Images on which the map is checked against a causal map; 0 leaves the check out."""
    random_swaps: Positive = 3
    """Random other images whose cells replace an image's own, which shows what any replacement does to the map."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images, an image and its twin together, for each interval."""
    clusters: int = added(0, ge=0)
    """Live features per layer that are clustered by where and on what they fire, those first that fire on most images;
    0 leaves clusters out."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.visual_patterns.run:run",
    figures="core.analysis.visual_patterns.figures:figures",
    version=7,
    title="Maps over images",
    question="Where in the image do the features ranked highest for {concept} fire?",
    needs=frozenset({"gpu", "images", "stream"}),
    place=40,
    chapter=50,
    best_figure="pointing",
    figures_name_concept=True,
)
