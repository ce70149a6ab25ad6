"""On how many directions do the weights of dictionaries and attention heads act?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """Rank, effective rank, entropy and principal components of weights' products, by layer, beside random ones."""

    layers: Layers = "all"
    """Layers whose weights are read."""
    heads: bool = True
    """Whether attention heads are read too (W_V · W_O), where the model has them apart."""
    components: Positive = 20
    """Principal components whose shares are kept."""
    draws: Positive = 99
    """Random matrices of the same shapes."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.spectra.run:run",
    figures="core.analysis.spectra.figures:figures",
    version=2,
    title="Spectra of weights",
    question="On how many directions do the weights of dictionaries and attention heads act, beside random weights?",
    needs=frozenset({"stream"}),
    place=130,
    chapter=130,
    best_figure="effective_rank",
    beside_frozen=True,
    by_default=False,
)
