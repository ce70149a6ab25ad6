"""How good are the SAEs, and where, in which features, does the concept show?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Config(Section):
    """SAE quality, the concept's association by feature, directions and probes by layer, language and position set."""

    layers: Layers = "all"
    """Layers to measure."""
    bootstrap: Positive = 200
    """Bootstrap draws over images for each interval."""
    spliced_images: Annotated[int, Field(ge=0)] = 32
    """Test images on which the loss recovered with the SAE spliced in is measured; 0 leaves it out."""
    top_features: Positive = 20
    """Features a layer in the heat map and the tables."""
    shuffles: Positive = 100
    """Runs of all tests of features with labels shuffled by image, the false-discovery check."""
    permutations: Positive = 1000
    """Shuffles of the test images' labels behind the p-values of the curves over layers."""
    professions: bool = added(False)
    """Whether the AUROC on professions that the probe was trained without gets an interval, which draws professions
    first, then images within each, and a p; where samples have a profession."""
    maximum: bool = added(False)
    """Whether the maximum over an image's caption rows is tested at equal caption length, beside the mean."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.overview.run:run",
    figures="core.analysis.overview.figures:figures",
    version=9,
    title="{Concept} by layer and language",
    question="How good are the SAEs, and in which layers and features does {concept} show?",
    needs=frozenset({"gpu", "stream"}),
    place=10,
    chapter=10,
    best_figure="emergence",
    figures_name_concept=True,
)
