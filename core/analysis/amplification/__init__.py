"""Dose and response: what happens to the gendered word when gender directions are turned up or down."""

from typing import Annotated

from pydantic import Field, field_validator

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Dose and response: what happens when gender directions are turned up or down."""

    layers: Layers = (8, 17, 26)
    """Layers steered, one at a time."""
    features: Positive = 3
    """Features steered as one set."""
    images: Positive = 24
    """Test images on which the response is measured, and selection images on which the dose of the rate is chosen."""
    doses: tuple[float, ...] = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4)
    """Multiples of the feature's 99.5th percentile when active; the slope at 0 is taken between the two nearest 0."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Random feature sets a layer, the control."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""

    @field_validator("doses")
    @classmethod
    def _on_both_sides(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if not any(dose < 0 for dose in doses) or not any(dose > 0 for dose in doses):
            raise ValueError("name at least one dose below 0 and one above it: the slope at 0 is taken between them")
        return doses


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.amplification.run:run",
    figures="core.analysis.amplification.figures:figures",
    version=9,
    title="Dose and response",
    question="How does the output answer to the dose when a gender direction is turned up or down?",
    needs=frozenset({"gpu", "stream"}),
    place=50,
    chapter=40,
    best_figure="slopes",
    concept="gender",
)
