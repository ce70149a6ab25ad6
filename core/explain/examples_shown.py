"""How an example is shown to a model: its text, and its picture or, to a model that reads text alone, what is known of
it."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import polars as pl
from PIL import Image

from core.chat.questions import Picture
from core.explain.about import About
from core.explain.marking import plain
from core.explain.portions import PORTION
from core.figures.picture_map import enlarged, with_map
from core.pictures import BrokenImage

LARGEST = 448
"""Pixels of a picture's longer side, at most: what is sent costs tokens."""
STEPS = 10
"""The strongest activation of a feature on the scale that models see."""


@dataclass(frozen=True)
class Example:
    """A row of `WINDOWS`."""

    kind: str
    quantile: int | None
    prompt_id: int
    sample_id: str | None
    image: str | None
    language: str | None
    tokens: tuple[str, ...]
    values: tuple[float, ...]
    map_cells: tuple[float, ...] | None

    @property
    def fires(self) -> bool:
        """Whether the feature fires in it."""
        return self.kind == "quantile"

    @property
    def active(self) -> list[int]:
        """The numbers of the tokens on which the feature fires."""
        return [number for number, value in enumerate(self.values) if value > 0]

    @property
    def strongest(self) -> float:
        """The largest activation on a token or an image patch."""
        return max((*self.values, *(self.map_cells or ())), default=0.0)


def examples_by_feature(windows: pl.DataFrame, use: str) -> dict[int, list[Example]]:
    """The examples of one use by feature, in the table's order."""
    names = ("kind", "quantile", "prompt_id", "sample_id", "image", "language", "tokens", "values", "map_cells")
    found: dict[int, list[Example]] = {}
    rows = windows.filter(pl.col("use") == use).with_columns(pl.col("kind", "language").cast(pl.String))
    for row in rows.iter_rows(named=True):
        fields: dict[str, Any] = {name: row[name] for name in names}
        lists = {name: tuple(row[name] or ()) for name in ("tokens", "values")}
        cells = None if row["map_cells"] is None else tuple(row["map_cells"])
        found.setdefault(row["feature_id"], []).append(Example(**{**fields, **lists, "map_cells": cells}))
    return found


def unseen(windows: pl.DataFrame) -> pl.DataFrame:
    """The examples for scorers, without any prompt that the feature's explainer saw."""
    keys = ["feature_id", "prompt_id"]
    told = windows.filter(pl.col("use") == "explain").select(keys)
    return windows.filter(pl.col("use") == "score").join(told, on=keys, how="anti", maintain_order="left")


def strengths(example: Example, largest: float) -> str:
    """` woman` 10, ` she` 4: the active tokens on the scale 1 to 10, where 10 is `largest`."""
    return ", ".join(f"`{example.tokens[number]}` {step(example.values[number], largest)}" for number in example.active)


def step(value: float, largest: float) -> int:
    """A value on the scale from 0 (silent) to 10 (`largest`), never 0 where the feature fires."""
    return min(STEPS, math.ceil(STEPS * value / largest)) if value > 0 and largest > 0 else 0


@dataclass(frozen=True)
class Shower:
    """Shows examples to a model that reads pictures, or text alone."""

    about: About
    pictures: bool

    def context(self, example: Example, with_cells: bool = False) -> tuple[str | Picture, ...]:
        """What goes with the text: the picture (`with_cells`: and the picture under its map), or its attributes."""
        if not example.image:
            return ()
        if not self.pictures:
            known = self.about.attributes.get(example.sample_id or "")
            return (f"Known of its picture: {known}\n",) if known else ()
        plain_one = self._untouched(example.image)
        if plain_one is None:
            return ()
        if not with_cells or example.map_cells is None:
            return ("Its picture: ", plain_one, "\n")
        if not any(cell > 0 for cell in example.map_cells):
            return ("Its picture, in which the feature does not fire: ", plain_one, "\n")
        image = self._open(example.image)
        drawn = None if image is None else with_map(image, example.map_cells)
        second = () if drawn is None else ("The picture with its map: ", Picture(_png(drawn)), "\n")
        return ("Its picture: ", plain_one, "\n", *second)

    def numbered(self, example: Example, number: int | str, text: str | None = None) -> tuple[str | Picture, ...]:
        """An example under its number, with what goes with it."""
        told = plain(example.tokens) if text is None else text
        return (f"Example {number}: {told}\n", *self.context(example))

    @cached_property
    def _untouched(self) -> Callable[[str], Picture | None]:
        """The picture of a name as it is; many questions show the same one."""

        @lru_cache(maxsize=PORTION)
        def found(name: str) -> Picture | None:
            image = self._open(name)
            return None if image is None else Picture(_png(enlarged(image)))

        return found

    def _open(self, name: str) -> Image.Image | None:
        if self.about.open_picture is None:
            return None
        try:
            image = self.about.open_picture(name)
        except BrokenImage:
            return None
        if max(image.size) > LARGEST:
            image = image.copy()
            image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        return image


def as_text(example: Example, about: About) -> str:
    """An example for a sentence embedder: its text, and what is known of its picture."""
    known = about.attributes.get(example.sample_id or "") if example.image else None
    return f"{plain(example.tokens)} ({known})" if known else plain(example.tokens)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
