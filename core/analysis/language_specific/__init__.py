"""Which features fire on captions of one language alone, and which on both?"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Which features fire on captions of one language alone, and which on both."""

    layers: Layers = "all"
    """Layers whose features are profiled."""
    specific: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Selectivity from which on a feature is specific to a language: 0.8 is firing nine times as often there."""
    shared: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Selectivity up to which a feature is shared: 0.5 is firing three times as often in one language at most."""
    swaps: Positive = 999
    """Runs in which the two captions of an image are swapped at random, the control."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.shared >= self.specific:
            raise ValueError(f"shared ({self.shared:g}) must be below specific ({self.specific:g})")
        return self


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.language_specific.run:run",
    figures="core.analysis.language_specific.figures:figures",
    version=1,
    title="Language-specific features",
    question="Which features fire on captions of one language alone, and which on both?",
    place=160,
    chapter=160,
    best_figure="classes",
    beside_frozen=True,
    by_default=False,
)
