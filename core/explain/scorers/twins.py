"""Twins: which of two samples that differ in one attribute fires the feature more? Share of pairs; chance is 0.5.

The score shows whether an explanation names the cause: an explanation that names what only goes along with the cause
says the same of both samples. By attribute in place of kinds of example. A judge is asked, or the sample whose text is
nearer to the explanation under a sentence embedder is taken. Which of the two is A is drawn by seed.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from core.chat.questions import Question
from core.explain.about import About
from core.explain.embedder import Embedder
from core.explain.examples_shown import Shower, as_text
from core.explain.metrics import ALL
from core.explain.prompts import prompt
from core.explain.scorers.asking import MAX_TOKENS, Put, read_word
from core.explain.scorers.judged import JUDGED, Explained, Item, judged_rows
from core.explain.twins import Pair


def questions(explained: Sequence[Explained], pairs: dict[int, list[Pair]], shower: Shower) -> list[Put]:
    """One question per explanation and pair; those about one feature show the same samples as A and B."""
    return [
        _put(one, pair, bool(side), shower)
        for one in explained
        for known in [pairs.get(one.feature, [])]
        for pair, side in zip(known, _sides(shower.about, one.feature, len(known)), strict=True)
    ]


def compared(
    explained: Sequence[Explained],
    pairs: dict[int, list[Pair]],
    about: About,
    embedder: Embedder,
) -> pl.DataFrame:
    """The nearer one of each pair by cosine with the explanation, a tie half right: `JUDGED`."""
    known = sorted(
        {one.text for one in explained}
        | {as_text(one, about) for own in pairs.values() for pair in own for one in (pair.stronger, pair.weaker)}
    )
    vectors = embedder.embed(known)
    near = {text: vectors[place] for place, text in enumerate(known)}
    rows = []
    for one in explained:
        own = pairs.get(one.feature, [])
        ahead = [
            float((near[as_text(pair.stronger, about)] - near[as_text(pair.weaker, about)]) @ near[one.text])
            for pair in own
        ]
        rows += judged_rows(one, [_item(pair) for pair in own], [((np.sign(gap) + 1) / 2,) for gap in ahead])
    return pl.DataFrame(rows, schema=JUDGED, orient="row")


def _sides(about: About, feature: int, pairs: int) -> list[int]:
    return [int(side) for side in np.random.default_rng([about.seed, feature, 5]).integers(2, size=pairs)]


def _item(pair: Pair) -> Item:
    return Item(pair.unit, pair.stronger.language, (ALL, pair.attribute), (1.0,))


def _put(explained: Explained, pair: Pair, stronger_first: bool, shower: Shower) -> Put:
    shown = (pair.stronger, pair.weaker) if stronger_first else (pair.weaker, pair.stronger)

    def question() -> Question:
        numbered = [shower.numbered(one, name) for name, one in zip("AB", shown, strict=True)]
        parts = [part for one in numbered for part in (*one, "\n")]
        return prompt("judge_twins").asked(parts, MAX_TOKENS, explanation=explained.text)

    right = "A" if stronger_first else "B"
    return Put(explained, (_item(pair),), question, lambda answer, _: _read(answer, right))


def _read(answer: str, right: str) -> list[tuple[float, ...]] | None:
    word = read_word(answer)
    return [(float(word == right),)] if word in ("A", "B") else None
