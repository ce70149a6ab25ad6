"""One section an analysis; an analysis whose section is null is not run."""

from typing import Annotated

from pydantic import Field, field_validator

from core.study.layers import Layers
from core.study.section import Section

Positive = Annotated[int, Field(ge=1)]


class OverviewConfig(Section):
    """SAE quality, gender association by feature, gender directions and probes by layer, language and position set."""

    layers: Layers = "all"
    """Layers to measure."""
    bootstrap: Positive = 200
    """Bootstrap draws over images for each interval."""
    spliced_images: Annotated[int, Field(ge=0)] = 32
    """Test images on which the loss recovered with the SAE spliced in is measured; 0 leaves it out."""
    top_features: Positive = 20
    """Features a layer in the heat map and the tables."""
    shuffles: Positive = 20
    """Runs with labels shuffled by image, the false-discovery check."""


class InterpretationConfig(Section):
    """What the gender-associated features fire on and what they promote."""

    layers: Layers = "all"
    """Layers whose features are described."""
    features: Positive = 5
    """Features a layer, the most gender-associated ones on the selection split."""
    quantiles: Positive = 4
    """Activation quantiles from which contexts are shown."""
    contexts: Positive = 3
    """Contexts shown a quantile."""
    promoted: Positive = 10
    """Promoted and suppressed tokens listed a feature."""


class AblationConfig(Section):
    """What happens to the gendered word when gender-associated features are taken out of the stream."""

    layers: Layers = (8, 17, 26)
    """Layers patched, one at a time; causal work on few layers keeps it affordable."""
    features: Positive = 5
    """Features ablated together at a layer."""
    images: Positive = 32
    """Test images on which the effect is measured."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Draws of the random controls a layer; 19 is the least that can reach p = 0.05."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""


class AmplificationConfig(Section):
    """Dose and response: what happens when gender directions are turned up or down."""

    layers: Layers = (8, 17, 26)
    """Layers steered, one at a time."""
    features: Positive = 3
    """Features steered as one set."""
    images: Positive = 24
    """Test images on which the response is measured."""
    doses: tuple[float, ...] = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4)
    """Multiples of the feature's 99.5th percentile when active; the slope at 0 is taken between the two nearest 0."""
    draws: Annotated[int, Field(ge=19)] = 100
    """Draws of the random-feature control a layer."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""

    @field_validator("doses")
    @classmethod
    def _on_both_sides(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if not any(dose < 0 for dose in doses) or not any(dose > 0 for dose in doses):
            raise ValueError("name at least one dose below 0 and one above it: the slope at 0 is taken between them")
        return doses


class VisualPatternsConfig(Section):
    """Where in the image a feature fires, against boxes and chance."""

    layers: Layers = (8, 17, 26)
    """Layers mapped."""
    features: Positive = 5
    """Features a layer."""
    top_images: Positive = 8
    """Images shown a feature."""
    occluded_images: Annotated[int, Field(ge=0)] = 6
    """Images on which the map is checked against a causal map; 0 leaves the check out."""
    bootstrap: Positive = 1000
    """Bootstrap draws over images for each interval."""


class EvolutionConfig(Section):
    """Which features persist, are born and die from layer to layer."""

    layers: Layers = "all"
    """Layers compared, each with the next."""
    permutations: Positive = 20
    """Row permutations for the matching threshold."""
    rows: Positive = 4000
    """Rows, drawn once for all layers, on which activations are correlated."""


class QualitativeConfig(Section):
    """A gallery of images with captions before and after intervention, picked by rule."""

    layer: Annotated[int, Field(ge=0)] = 17
    """Layer of the interventions and the heat strips."""
    features: Positive = 3
    """Features ablated or amplified together."""
    images: Positive = 8
    """Images shown."""
    max_new_tokens: Positive = 40
    """Length at which a generated caption is cut."""


class Analyses(Section):
    """The analyses a study runs."""

    overview: OverviewConfig | None = OverviewConfig()
    """SAE quality and gender by layer."""
    interpretation: InterpretationConfig | None = InterpretationConfig()
    """Feature descriptions."""
    ablation: AblationConfig | None = AblationConfig()
    """Causal ablation."""
    visual_patterns: VisualPatternsConfig | None = VisualPatternsConfig()
    """Maps over images."""
    amplification: AmplificationConfig | None = AmplificationConfig()
    """Dose and response."""
    evolution: EvolutionConfig | None = EvolutionConfig()
    """Features across layers."""
    qualitative: QualitativeConfig | None = QualitativeConfig()
    """Gallery."""
