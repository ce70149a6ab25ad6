"""Does a probe that was trained on captions of one language read the concept in the other?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Probes trained on one language and tested on the other, both ways, in the stream, SAE features and the frozen
    dictionary's."""

    layers: Layers = "all"
    """Layers that are probed."""
    position_sets: tuple[str, ...] = ()
    """Position sets that are probed. Empty: the two at which the concept is not yet spoken."""
    ks: tuple[Positive, Positive] = (1, 5)
    """The two numbers of features of the sparse probes; they are chosen on training images of the one language."""
    draws: Positive = 1000
    """Bootstrap draws, shuffles of the labels, and swaps of two probes."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.contrast.run:run",
    figures="core.analysis.contrast.figures:figures",
    version=3,
    title="Contrast of the languages",
    question="Does a probe that was trained on captions of one language read the concept in the other?",
    place=170,
    chapter=170,
    best_figure="transfer",
    beside_frozen=True,
    by_default=False,
)
