"""How likely are either gender's words where the picture does not show the gender, group by group?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section

NonNegative = Annotated[int, Field(ge=0)]


class Config(Section):
    """P(female) at the first gendered word and in generated captions, where the picture does not show the gender, by
    group; and where in the layers the probe for visible gender scores such pictures in the same order."""

    layers: Layers = "all"
    """Layers whose probe for the visible gender is scored on pictures that do not show it."""
    groups: tuple[str, ...] = ()
    """Columns of the samples that sort pictures into groups; statements over groups are about those of the first.
    Empty: `profession` and `place`, those that there are."""
    position_sets: tuple[str, ...] = ()
    """Position sets that are probed. Empty: the two at which the concept is not yet spoken."""
    images: Positive = 400
    """Images that do not show the gender and are asked, at most."""
    written: NonNegative = 200
    """Images that do not show the gender, and as many that do, whose captions are generated, at most; 0 generates
    none."""
    max_new_tokens: Positive = 24
    """Length at which a generated caption is cut."""
    tasks: Positive = 100
    """Most frequent words of captions, beside those of gender, whose directional amplification is measured."""
    bootstrap: Positive = 1000
    """Bootstrap draws for each interval: groups, then images within each."""
    permutations: Positive = 999
    """Permutations of groups, the control of what is said over groups."""
    shuffles: Positive = 99
    """Exchanges of generated and own captions, the control of sets of captions."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.bias.run:run",
    figures="core.analysis.bias.figures:figures",
    version=1,
    title="Bias",
    question="How likely are either gender's words where the picture does not show the gender, and does that differ "
    "between groups?",
    needs=frozenset({"gpu", "stream"}),
    place=55,
    chapter=45,
    best_figure="rates",
    concept="gender",
    by_default=False,
)
