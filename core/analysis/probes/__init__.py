"""How few features does a label take, and do SAE features beat those of a dictionary whose decoder is random?"""

from typing import Annotated

from pydantic import Field

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Linear and k-sparse probes of any label, on SAE features, the frozen dictionary's, random directions and the
    stream."""

    layers: Layers = "all"
    """Layers that are probed."""
    columns: tuple[str, ...] = ()
    """Columns of the samples whose values are read (at most 50 values each); the concept's name stands for the label of
    the caption. Empty: the concept alone."""
    position_sets: tuple[str, ...] = ()
    """Position sets that are probed. Empty: the two at which the concept is not yet spoken."""
    ks: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 5, 10, 20)
    """Features in a sparse probe; they are chosen on training images."""
    concluded: tuple[Positive, Positive] = (1, 5)
    """The two numbers of features at which the SAE is compared with the frozen dictionary; both stand in `ks`."""
    draws: Positive = 1000
    """Bootstrap draws, shuffles of the labels, and swaps of two probes."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.probes.run:run",
    figures="core.analysis.probes.figures:figures",
    version=3,
    title="Probes of labels",
    question="How few features does a label take, and do SAE features read it otherwise than those of a dictionary "
    "with a random decoder?",
    place=110,
    chapter=110,
    best_figure="probe_matrix",
    beside_frozen=True,
    by_default=False,
)
