"""Fuzz: are the marked tokens those on which the feature fires? Balanced accuracy; chance is 0.5.

Paulo et al. 2024 (arXiv:2410.13928), "fuzzing": as detection, but on the level of tokens. Every firing example is shown
twice, never in one question: once with its active tokens marked, once with as many of its other tokens (`wrong_marks`).
Silent examples are shown with as many tokens marked as a firing one has on average. Examples without text, and firing
ones without an active token, have nothing to mark and are left out. Marks are one pair per token (`core.explain.
marking`), so that they read back to exactly the tokens that were chosen.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from core.explain.about import About
from core.explain.examples_shown import Example, Shower
from core.explain.marking import marked
from core.explain.prompts import prompt
from core.explain.scorers.asking import Put, shuffled
from core.explain.scorers.batches import Shown, batches
from core.explain.scorers.items import item_of
from core.explain.scorers.judged import WRONG_MARKS, Explained, against_silent


def questions(
    explained: Sequence[Explained], examples: Mapping[int, list[Example]], shower: Shower, size: int
) -> list[Put]:
    """The questions about every explanation; those about one feature show the same examples in the same order."""
    used = prompt("judge_fuzz")
    decks = {feature: _decks(examples[feature], shower.about, feature) for feature in examples}
    return [
        put
        for one in explained
        for deck in decks.get(one.feature, ())
        for put in batches(one, deck, size, used, shower)
    ]


def _decks(examples: Sequence[Example], about: About, feature: int) -> list[list[Shown]]:
    """Two decks: each firing example stands in one with its own tokens marked and in the other with other ones."""
    rng = np.random.default_rng([about.seed, feature, 1])
    told = [one for one in examples if one.tokens and (one.active or not one.fires)]
    firing, silent = ([one for one in told if one.fires is fires] for fires in (True, False))
    usual = max(1, round(float(np.mean([len(one.active) for one in firing])))) if firing else 1
    dealt: list[tuple[int, Shown]] = []
    for one, first in zip(firing, rng.integers(2, size=len(firing)).tolist(), strict=True):
        dealt.append((first, _shown(one, one.active, about, None)))
        others = [number for number in range(len(one.tokens)) if number not in set(one.active)]
        if others:
            chosen = rng.permutation(others)[: len(one.active)].tolist()
            dealt.append((1 - first, _shown(one, chosen, about, WRONG_MARKS)))
    for one, deck in zip(silent, rng.integers(2, size=len(silent)).tolist(), strict=True):
        chosen = rng.permutation(len(one.tokens))[:usual].tolist()
        dealt.append((deck, _shown(one, chosen, about, one.kind)))
    items = against_silent([one.item for _, one in dealt], [one.item.truth[0] > 0 for _, one in dealt])
    counted = [(deck, one._replace(item=item)) for (deck, one), item in zip(dealt, items, strict=True)]
    return [_shuffled([one for deck, one in counted if deck == number], about, feature, number) for number in (0, 1)]


def _shuffled(deck: list[Shown], about: About, feature: int, number: int) -> list[Shown]:
    return [deck[place] for place in shuffled(len(deck), about.seed, feature, 2 + number)]


def _shown(example: Example, chosen: Sequence[int], about: About, wrong: str | None) -> Shown:
    """An example with some tokens marked; `wrong` says what sort of wrong marks they are, null that they are right."""
    item = item_of(example, about, (float(wrong is None),), wrong)
    return Shown(example, marked(example.tokens, chosen), item)
