"""A feature's counterparts in the captions of another language, and what may be said of them."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from core.errors import BadInput
from core.stats.families import ALPHA
from explorer.dashboard import links, words
from explorer.dashboard.grids import Grid, grid
from explorer.dashboard.kept import kept
from explorer.reading.library import ShownLayer

_COLUMNS = ("feature", "correlation", "images", "p")


class Beside(NamedTuple):
    """The features that follow one in another language: from where to where, what may be said, and the closest."""

    title: str
    said: str
    table: Grid | None


def counterparts(shown: ShownLayer, feature: int) -> list[Beside]:
    """The counterparts of a feature, from each language of the study to each other one."""
    return [_beside(shown, feature, *pair) for pair in permutations(shown.study.languages, 2)]


def _beside(shown: ShownLayer, feature: int, own: str, other: str) -> Beside:
    title = f"{words.language(own)} → {words.language(other)}"
    try:
        found = _found(shown, feature, own, other)
    except BadInput as error:
        return Beside(title, str(error), None)
    said = _said(found, feature, words.language(own), words.language(other))
    if found.table.is_empty():
        return Beside(title, said, None)
    key, layer = shown.study.key, shown.indexed.layer

    def link(row: Mapping[str, Any]) -> str:
        return links.feature_at(key, layer, row["feature"])

    return Beside(title, said, grid(found.table, _COLUMNS, {"feature": link}))


def _said(found: Any, feature: int, own: str, other: str) -> str:
    from core.features.counterparts import FEWEST_IMAGES

    if found.firing < FEWEST_IMAGES:
        return f"It fires on the {own} captions of {found.firing} of {found.images:,} images: too few to compare."
    if found.table.is_empty():
        return (
            f"It cannot be compared: it is the same on all {own} captions, or no feature fires on enough {other} ones."
        )
    best = found.table.row(0, named=True)
    name = "the feature itself" if best["feature"] == feature else f"feature {best['feature']}"
    said = f"on {other} captions {name} correlates most with it, {words.number(best['correlation'])} over "
    said += f"{found.images:,} images"
    reach = words.number(float(np.quantile(found.shuffled, 1 - ALPHA)))
    control = (
        f"with shuffled images the best of all features stays below {reach} in 95 % of {len(found.shuffled)} shuffles; "
        f"p {words.compared(best['p'])}"
    )
    shown = said[0].upper() + said[1:] if best["p"] <= ALPHA else f"Not distinguishable from chance: {said}"
    return f"{shown} ({control})."


@kept(64)
def _found(shown: ShownLayer, feature: int, own: str, other: str) -> Any:
    from core.data.twins import unit_of_image
    from core.features.counterparts import counterparts  # SciPy: other pages need not wait for it

    units = unit_of_image(shown.study.samples)
    return counterparts(_means(shown, own), feature, _means(shown, other), units)


@kept(4)
def _means(shown: ShownLayer, language: str) -> Any:
    from core.features.counterparts import caption_means

    return caption_means(shown.indexed, language)
