"""Intruder: in which of these examples does the feature not fire? Balanced accuracy; chance is 0.5.

Paulo & Belrose 2025 ("Evaluating SAE interpretability without explanations", arXiv:2507.08473): a judge finds the one
silent example among firing ones of one quantile, each with its active tokens marked (as many tokens at random in the
intruder). They show no explanation and count hits, which has a chance of 1 in the number of examples; here the
explanation is shown, for it is what is scored, and a question counts its balanced accuracy: 1 for a hit and, for a miss
among m, the half of (m − 2) / (m − 1), the share of the others rightly left out. Whatever m, a guess expects 0.5.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from core.chat.questions import Question
from core.explain.examples_shown import Example, Shower
from core.explain.marking import marked
from core.explain.metrics import ALL
from core.explain.prompts import prompt
from core.explain.scorers.asking import MAX_TOKENS, Put, read_word
from core.explain.scorers.items import unit_of
from core.explain.scorers.judged import Explained, Item, quantile_name

FIRING = 4
"""Firing examples beside each intruder, at most."""


class _Line(NamedTuple):
    """Examples in the order in which they are shown, with the tokens marked in each, and the intruder's place."""

    examples: tuple[Example, ...]
    marks: tuple[tuple[int, ...], ...]
    intruder: int
    quantile: int


def questions(explained: Sequence[Explained], examples: Mapping[int, list[Example]], shower: Shower) -> list[Put]:
    """One question per explanation and silent example; those about one feature show the same examples."""
    lines = {feature: _lines(examples[feature], shower.about.seed, feature) for feature in examples}
    return [_put(one, line, shower) for one in explained for line in lines.get(one.feature, ())]


def _lines(examples: Sequence[Example], seed: int, feature: int) -> list[_Line]:
    rng = np.random.default_rng([seed, feature, 4])
    bands: dict[int, list[Example]] = {}
    for one in examples:
        if one.fires and one.quantile is not None:
            bands.setdefault(one.quantile, []).append(one)
    order = sorted(bands, reverse=True)
    silent = [one for one in examples if not one.fires]
    return [
        _line(intruder, bands[order[turn % len(order)]], order[turn % len(order)], rng)
        for turn, intruder in enumerate(silent)
        if order
    ]


def _line(intruder: Example, band: Sequence[Example], quantile: int, rng: np.random.Generator) -> _Line:
    others = [band[place] for place in rng.permutation(len(band))[:FIRING]]
    usual = max(1, round(float(np.mean([len(one.active) for one in others]))))
    at_random = tuple(sorted(rng.permutation(len(intruder.tokens))[:usual].tolist()))
    place = int(rng.integers(len(others) + 1))
    shown = [*others[:place], intruder, *others[place:]]
    marks = tuple(at_random if one is intruder else tuple(one.active) for one in shown)
    return _Line(tuple(shown), marks, place, quantile)


def _put(explained: Explained, line: _Line, shower: Shower) -> Put:
    def question() -> Question:
        pairs = enumerate(zip(line.examples, line.marks, strict=True), 1)
        numbered = [shower.numbered(one, number, marked(one.tokens, marks)) for number, (one, marks) in pairs]
        parts = [part for one in numbered for part in (*one, "\n")]
        return prompt("judge_intruder").asked(parts, MAX_TOKENS, explanation=explained.text)

    intruder = line.examples[line.intruder]
    kinds = (ALL, quantile_name(line.quantile), intruder.kind)
    item = Item(unit_of(intruder, shower.about), intruder.language, kinds, (1.0,))
    return Put(explained, (item,), question, lambda answer, _: _read(answer, line.intruder + 1, len(line.examples)))


def _read(answer: str, right: int, shown: int) -> list[tuple[float, ...]] | None:
    word = read_word(answer)
    if word is None or not word.isdecimal() or not 1 <= int(word) <= shown:
        return None
    return [(1.0 if int(word) == right else (shown - 2) / (2 * (shown - 1)),)]
