"""Families of sentences, and the two parts of a concept's sentences: whole families, balanced by label."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from core.concepts.near_duplicates import near_duplicates
from core.data.splits import tie

Part = Literal["selection", "held-out"]
PARTS: tuple[Part, Part] = ("selection", "held-out")
LABELS = (0, 1, 2, 3)


def name_families(ids: Sequence[str], sentences: Sequence[str], given: Sequence[str | None]) -> list[str]:
    """Each sentence's family: the given one, joined with that of its near-duplicates; else one of its own.

    A family is called after the first name given in it, or the id of its first sentence.
    """
    keys: list[list[object]] = [[] if name is None else [name] for name in given]
    for pair in near_duplicates(sentences):
        for row in pair:
            keys[row].append(pair)
    taken = {name for name in given if name is not None}
    names = [""] * len(ids)
    for rows in tie(keys):
        name = next((one for row in rows if (one := given[row]) is not None), None)
        for row in rows:
            names[row] = name if name is not None else _free(ids[rows[0]], taken)
    return names


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def split_families(families: Sequence[str], labels: Sequence[int], held_out: float, seed: int) -> list[Part]:
    """Each sentence's part: whole families in an order that the seed decides, the largest first.

    A family goes where the number of sentences of every label stays closest to the parts' shares.
    """
    rows: dict[str, list[int]] = {}
    for row, family in enumerate(families):
        rows.setdefault(family, []).append(row)
    names = list(rows)
    counts = np.array([[sum(labels[row] == label for row in rows[name]) for label in LABELS] for name in names])
    shares = np.array([1 - held_out, held_out])[:, None]
    assigned = np.zeros((len(PARTS), len(LABELS)))
    part: dict[str, Part] = {}
    shuffled = np.random.default_rng(seed).permutation(len(names))
    for number in shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]:
        wanted = shares * (assigned.sum(axis=0) + counts[number])
        choices = [assigned + counts[number] * (np.arange(len(PARTS)) == one)[:, None] for one in range(len(PARTS))]
        astray = [np.round(((choice - wanted) ** 2).sum(), 9) for choice in choices]
        best = int(np.argmin(astray))
        assigned = choices[best]
        part[names[number]] = PARTS[best]
    return [part[family] for family in families]
