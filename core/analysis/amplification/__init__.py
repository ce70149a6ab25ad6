"""Dose and response: what happens to the concept's word when its directions are turned up or down."""

from typing import Annotated

from pydantic import Field, field_validator

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section, added

NonNegative = Annotated[int, Field(ge=0)]


class Config(Section):
    """Dose and response: what happens when the concept's directions are turned up or down."""

    layers: Layers = (8, 17, 26)
    """Layers steered, one at a time."""
    features: Positive = 3
    """Features steered as one set."""
    images: Positive = 24
    """Test images on which the response is measured, and selection images on which the dose of the rate is chosen."""
    doses: tuple[float, ...] = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4)
    """Multiples of the feature's 99.5th percentile when active; the slope at 0 is taken between the two nearest 0."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Random feature sets per layer, the control."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""
    vectors: bool = added(False)
    """Whether each feature by itself, the LDA direction and the probe's direction are steered as well, at the reported
    layer, beside as many random directions as `draws`: isotropic ones, and ones drawn from the stream's covariance."""
    random_curves: Positive = added(2)
    """Random directions of either kind that are steered at every dose, where `vectors` is on."""
    logistic: NonNegative = added(0)
    """Resamples for the interval of the mid-dose of a logistic curve, fitted to the rate over doses; 0 fits none."""
    written: NonNegative = added(0)
    """Test images whose captions are generated at every dose, for fluency and the concept's words; 0 generates none."""
    written_random: Positive = added(2)
    """Random vectors of each kind (feature sets, isotropic, from the covariance) that captions are generated with."""
    max_new_tokens: Positive = added(24)
    """Length at which a generated caption is cut."""
    prompting: dict[str, str] = added({})
    """Instruction, by language, that asks for the first side, the one that positive doses push toward: the comparator
    of steering at the chosen dose. A language without one is left out."""

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
    version=10,
    title="Dose and response",
    question="How does the output answer to the dose when a {concept} direction is turned up or down?",
    needs=frozenset({"gpu", "stream", "pairs"}),
    place=50,
    chapter=40,
    best_figure="slopes",
    figures_name_concept=True,
)
