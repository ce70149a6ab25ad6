"""Draws and splits: what belongs together stays together, every stratum is met in proportion, a seed decides."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from core.study.data import Splits

SPLITS = ("train", "select", "test")


class Group(NamedTuple):
    """Members (numbers of rows) that are drawn, or split, together; `units` are the images among them."""

    members: tuple[int, ...]
    stratum: str
    units: int = 1


def tie(keys: Sequence[Iterable[Hashable]]) -> list[list[int]]:
    """Gather rows that share a key, directly or through others; groups are in the order of their first rows."""
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    owner: dict[Hashable, int] = {}
    for row, row_keys in enumerate(keys):
        for key in row_keys:
            first, second = sorted((root(owner.setdefault(key, row)), root(row)))
            parent[second] = first
    groups: dict[int, list[int]] = {}
    for row in range(len(keys)):
        groups.setdefault(root(row), []).append(row)
    return [groups[first] for first in sorted(groups)]


def assign_splits(groups: Sequence[Group], shares: Splits, seed: int) -> list[str]:
    """Name each group's split: whole groups, in proportion to `shares` in images within every stratum and overall.

    Groups come in an order that the seed decides, stratum by stratum; each goes to the split that is furthest behind
    its share (with single images, no split is ever a whole image behind or ahead by more than one).
    """
    rng = np.random.default_rng(seed)
    wanted = np.array([shares.train, shares.select, shares.test])
    assigned = np.zeros(len(SPLITS))
    seen = 0
    names = [""] * len(groups)
    for group in _shuffled(groups, rng):
        seen += groups[group].units
        behind = wanted * seen - assigned
        split = int(np.argmax(np.round(behind, 9)))
        assigned[split] += groups[group].units
        names[group] = SPLITS[split]
    return names


def draw(groups: Sequence[Group], count: int | None, seed: int, admit: Callable[[Group], Sequence[int]]) -> list[int]:
    """Draw whole groups, `count` members in all at most, from every stratum in proportion; null takes all.

    `admit` looks at a group once it is drawn and returns the members that may stay: another is drawn for what it
    refuses. Returns the members drawn, sorted.
    """
    if count is None:
        return sorted(member for group in groups for member in admit(group))
    rng = np.random.default_rng(seed)
    order = _shuffled(groups, rng)
    left = _quotas(groups, count)
    drawn: list[int] = []
    spare = []
    for number in order:
        group = groups[number]
        if len(group.members) > left[group.stratum]:
            spare.append(number)
            continue
        admitted = admit(group)
        left[group.stratum] -= len(admitted)
        drawn += admitted
    for number in spare:
        if len(groups[number].members) <= count - len(drawn):
            drawn += admit(groups[number])
    return sorted(drawn)


def _shuffled(groups: Sequence[Group], rng: np.random.Generator) -> list[int]:
    order: list[int] = []
    for stratum in sorted({group.stratum for group in groups}):
        numbers = [number for number, group in enumerate(groups) if group.stratum == stratum]
        order += rng.permutation(np.array(numbers)).tolist()
    return order


def _quotas(groups: Sequence[Group], count: int) -> dict[str, int]:
    """Members to draw from each stratum: the largest remainder method."""
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group.stratum] = sizes.get(group.stratum, 0) + len(group.members)
    total = sum(sizes.values())
    count = min(count, total)
    exact = {stratum: count * size / total for stratum, size in sizes.items()}
    quotas = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda stratum: (quotas[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: count - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas
