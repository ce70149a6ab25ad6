"""Detection: does the feature fire in this example? Balanced accuracy; chance is 0.5.

Paulo et al. 2024 (arXiv:2410.13928), section on scoring: a judge is given the explanation and whole examples, firing
and silent ones mixed, and says of each whether the feature fires anywhere in it.
"""

from collections.abc import Mapping, Sequence

from core.explain.about import About
from core.explain.examples_shown import Example, Shower
from core.explain.prompts import prompt
from core.explain.scorers.asking import Put, shuffled
from core.explain.scorers.batches import Shown, batches
from core.explain.scorers.items import firing_items
from core.explain.scorers.judged import Explained


def questions(
    explained: Sequence[Explained], examples: Mapping[int, list[Example]], shower: Shower, size: int
) -> list[Put]:
    """The questions about every explanation; those about one feature show the same examples in the same order."""
    used = prompt("judge_detection")
    decks = {feature: _deck(examples[feature], shower.about, feature) for feature in examples}
    return [put for one in explained for put in batches(one, decks.get(one.feature, []), size, used, shower)]


def _deck(examples: Sequence[Example], about: About, feature: int) -> list[Shown]:
    deck = [Shown(one, None, item) for one, item in zip(examples, firing_items(examples, about), strict=True)]
    return [deck[place] for place in shuffled(len(deck), about.seed, feature)]
