"""Examples as items that are told apart: those in which the feature fires, and silent ones."""

from collections.abc import Sequence

from core.explain.about import About
from core.explain.examples_shown import Example
from core.explain.scorers.judged import Item, against_silent, sort_of


def firing_items(examples: Sequence[Example], about: About) -> list[Item]:
    """One item per example: 1 where the feature fires, 0 where it is silent."""
    fires = [one.fires for one in examples]
    return against_silent([item_of(one, about, (float(one.fires),)) for one in examples], fires)


def item_of(example: Example, about: About, truth: tuple[float, ...], sort: str | None = None) -> Item:
    """An example as an item under its own sort, or under `sort`."""
    return Item(unit_of(example, about), example.language, (sort or sort_of(example),), truth)


def unit_of(example: Example, about: About) -> int:
    """The number of an example's unit, its image with the image's twins; without a known sample, its prompt's own."""
    return about.units.get(example.sample_id or "", -1 - example.prompt_id)
