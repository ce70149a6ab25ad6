"""From which layer on does the vocabulary head read the concept's word in the stream, before it is spoken?"""

from core.analysis.declaration import Analysis
from core.study.layers import Layers
from core.study.section import Positive, Section


class Config(Section):
    """What the vocabulary head reads in each layer's stream: top tokens, entropy, KL to the last layer, and the ranks
    of the concept's words; plain, through the SAE and through the frozen dictionary."""

    layers: Layers = "all"
    """Layers that are read."""
    k: Positive = 5
    """Likeliest tokens kept by layer and language."""
    words: Positive = 20
    """Most frequent first tokens of the concept's words on each side, taken from training captions."""
    caption_rows: Positive = 400
    """Caption tokens of test images per language, whose entropy and KL are read beside those before the word."""
    bootstrap: Positive = 200
    """Bootstrap draws over images for each interval."""
    permutations: Positive = 1000
    """Shuffles of labels: of selection images, to choose the layer, and of test images, for p there."""


ANALYSIS = Analysis(
    config=Config,
    run="core.analysis.logit_lens.run:run",
    figures="core.analysis.logit_lens.figures:figures",
    version=3,
    title="Logit lens",
    question="From which layer on does the vocabulary head read the right side's word in the stream, before the word "
    "is spoken?",
    needs=frozenset({"stream", "words"}),
    place=120,
    chapter=120,
    best_figure="ranks",
    beside_frozen=True,
    by_default=False,
)
