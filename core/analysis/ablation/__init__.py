"""What happens to the concept's word when the features most associated with it are taken out of the stream."""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added


class Config(Section):
    """What happens to the concept's word when the features most associated with it are taken out of the stream."""

    layers: Layers = (8, 17, 26)
    """Layers patched, one at a time; causal work on few layers keeps it affordable."""
    features: Positive = 5
    """Features ablated together at a layer."""
    images: Positive = 32
    """Test images on which the effect is measured."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Random feature sets per layer, the control; 19 is the least that can reach p = 0.05."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""
    professions: bool = added(False)
    """Whether intervals draw professions first, then images within each, and p flips the signs of whole professions,
    where samples have a profession: the statement is then about professions."""
    curve: bool = added(False)
    """Whether the features are taken out in part and beyond 0 as well: effect against KL, and effect at the KL of the
    random sets."""
    lexicon: bool = added(False)
    """Whether the outcome is also measured over all words of the concept in the language, beside the caption's pair."""
    captions: int = added(0, ge=0)
    """Test images whose captions are written under the ablation: how many change sides, and how likely their other
    words are without it; 0 leaves this out."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.ablation.run:run",
    figures="core.analysis.ablation.figures:figures",
    version=11,
    title="Ablation",
    question="What happens to the {adjective} word when the features most associated with {concept} are taken out?",
    needs=frozenset({"gpu", "stream", "pairs"}),
    place=30,
    chapter=30,
    best_figure="effect",
    figures_name_concept=True,
)
