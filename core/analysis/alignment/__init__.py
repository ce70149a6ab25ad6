"""Do features fire alike on the two captions of an image, and are the languages' gender features the same?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Whether features fire alike on the two captions of an image, and whether the languages' gender features are the
    same."""

    layers: Layers = "all"
    """Layers that are compared."""
    top: Positive = 100
    """Features of each language with the largest difference between genders that are intersected; at most a tenth of
    the live ones."""
    images: Positive = 500
    """Test images that are compared, at most."""
    permutations: Positive = 199
    """Shuffles: of the images' Arabic captions within profession and gender, and of the images' labels; an image with
    its twin."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.alignment.run:run",
    figures="core.analysis.alignment.figures:figures",
    version=2,
    title="Alignment of the languages",
    question="Do features fire alike on the two captions of an image, and are the languages' gender features the same?",
    place=150,
    chapter=150,
    best_figure="alignment",
    concept="gender",
    beside_frozen=True,
    beside_seed=True,
    by_default=False,
)
