"""Does a probe that was trained on captions of one language read the concept in the other?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Interventions(Section):
    """Steering with directions of one language in captions of the other, both ways, at one added norm."""

    layers: Layers = (8, 17, 26)
    """Layers among which the one is taken whose features go most with the concept, language by language, on selection
    images; of each the nearest that the analysis reads."""
    features: Positive = 5
    """Features of a language that are steered as one set."""
    images: Positive = 16
    """Test images on which effects are measured."""
    norm: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Mean ‖Δx‖ / ‖x‖ of every vector, up and down, over all positions."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Random feature sets, and random directions, per vector, the controls."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval, and random signs for each p."""


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
    interventions: Interventions | None = added(None)
    """Whether, and how, each language's directions are steered with in the other too; null: not at all."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.contrast.run:run",
    figures="core.analysis.contrast.figures:figures",
    version=3,
    title="Contrast of the languages",
    question="Does a probe that was trained on captions of one language read the concept in the other?",
    needs=frozenset({"gpu"}),
    needs_with={"interventions": frozenset({"stream", "pairs"})},
    place=170,
    chapter=170,
    best_figure="transfer",
    beside_frozen=True,
    by_default=False,
)
