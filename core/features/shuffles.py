"""Labels or images shuffled, twins together: what the same tests find where these say nothing."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.features.associations import Labels


@dataclass(frozen=True)
class ShuffledLabels:
    """Shuffled labels of a split's images; the same draws at every layer, language and position set.

    `names` are the N images; `positive` holds by language [N, draws] whether each image is on the first side.
    """

    names: list[str]
    positive: Mapping[str, Bool[np.ndarray, "N draws"]]

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def of(self, images: Sequence[str], language: str) -> Bool[np.ndarray, "n draws"]:
        """The shuffled labels of some images that have a label in that language."""
        return self.positive[language][[self._place[image] for image in images]]


def shuffle_labels(
    labels: Mapping[str, Labels], split: str, draws: int, seed: int, units: Mapping[str, int] | None = None
) -> ShuffledLabels:
    """Shuffle the labels of the images of a split.

    An image's labels in all languages move together. Images are exchanged with images labelled in the same languages
    only, so that no test loses a unit; an image and its twin (one unit) get the labels of another image and its twin,
    in a random order, so that twins differ in a shuffle wherever they differ in the data.

    Args:
        labels: by language.
        split: whose images are shuffled.
        draws: how many shuffles.
        seed: of the shuffles.
        units: the unit of each image; null: each image is one.
    """
    frame = _wide(labels, split)
    names, known = frame["image_id"].to_list(), _matrix(frame, labels)
    units = units or {}
    strata = exchangeable([tuple(row) for row in ~np.isnan(known)], [units.get(name, name) for name in names])
    rng = np.random.default_rng(seed)
    moved = np.repeat(known[:, :, None] == 1, draws, axis=2)
    for draw in range(draws):
        for stratum in strata:
            moved[stratum.members, :, draw] = known[stratum.drawn(rng)] == 1
    return ShuffledLabels(names, {language: moved[:, column] for column, language in enumerate(sorted(labels))})


@dataclass(frozen=True)
class Stratum:
    """Units that may be exchanged: `members` [U, m] their images; those of one block in `blocks` are alike."""

    members: Int[np.ndarray, "U m"]
    blocks: list[list[int]]

    def drawn(self, rng: np.random.Generator) -> Int[np.ndarray, "U m"]:
        """The images whose labels, or captions, the members get."""
        drawn = rng.permutation(self.members)
        for block in self.blocks:
            drawn[:, block] = rng.permuted(drawn[:, block], axis=1)
        return drawn


def exchangeable(kinds: Sequence[tuple[int, ...]], units: Sequence[Hashable]) -> list[Stratum]:
    """Units of one stratum have as many images of each kind: a pair of twins is exchanged for another such pair.

    Args:
        kinds: of each image, what it has in common with the images that it may be exchanged with.
        units: of each image.
    """
    gathered: dict[Hashable, list[int]] = {}
    for number, unit in enumerate(units):
        gathered.setdefault(unit, []).append(number)
    alike: dict[tuple[tuple[int, ...], ...], list[list[int]]] = {}
    for members in gathered.values():
        ordered = sorted(members, key=lambda number: (kinds[number], number))
        alike.setdefault(tuple(kinds[number] for number in ordered), []).append(ordered)
    return [Stratum(np.array(alike[key]), _blocks(key)) for key in sorted(alike)]


def exchanged(strata: Sequence[Stratum], rng: np.random.Generator) -> Int[np.ndarray, " N"]:
    """An order of the images in which each stands where another of its kind stood, and those of a unit together."""
    order = np.zeros(sum(stratum.members.size for stratum in strata), dtype=np.int64)
    for stratum in strata:
        order[stratum.members] = stratum.drawn(rng)
    return order


def _blocks(kinds: tuple[tuple[int, ...], ...]) -> list[list[int]]:
    places = {kind: [number for number, own in enumerate(kinds) if own == kind] for kind in dict.fromkeys(kinds)}
    return [block for block in places.values() if len(block) > 1]


def _wide(labels: Mapping[str, Labels], split: str) -> pl.DataFrame:
    """image_id and a column `positive_<language>` each, for the split's images, by image_id."""
    languages = sorted(labels)
    frames = [labels[language].table.filter(pl.col("split") == split) for language in languages]
    wide = frames[0].select("image_id")
    for language, frame in zip(languages, frames, strict=True):
        column = frame.select("image_id", pl.col("positive").alias(f"positive_{language}"))
        wide = wide.join(column, on="image_id", how="left")
    return wide.sort("image_id")


def _matrix(frame: pl.DataFrame, labels: Mapping[str, Labels]) -> Float[np.ndarray, "n languages"]:
    columns = [f"positive_{language}" for language in sorted(labels)]
    return frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
