"""Which features fire on a few rows, and where: each with its tokens shaded, text by text."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from explorer.dashboard.maps import Map
from explorer.dashboard.strips import Strip, strip
from explorer.reading.samples import by_feature

MOST = 16


class Firing(NamedTuple):
    """A feature that fires: its label, how strongly and where most, on how many rows, and its texts and map."""

    feature: int
    label: str | None
    strongest: float
    token: str
    segment: str
    rows: int
    strips: tuple[Strip, ...]
    map: Map | None = None


def firing(entries: pl.DataFrame, tokens: pl.DataFrame, labels: Mapping[int, str], most: int = MOST) -> list[Firing]:
    """The features of entries (index, feature, value) by their largest activation; `tokens` are the rows they may be
    in, of which those before captions that all texts share are shown but once."""
    ranked = by_feature(entries, tokens, most)
    texts = _texts(tokens)
    found = []
    for row in ranked.to_dicts():
        own = entries.filter(pl.col("feature") == row["feature"])
        values = dict(own.select("index", "value").rows())
        strips = tuple(_shaded(text, values, row["max"]) for text in texts)
        shown = tuple(one for one in strips if any(piece.level for piece in one.pieces))
        where = row["token"], row["segment"]
        found.append(Firing(row["feature"], labels.get(row["feature"]), row["max"], *where, row["rows"], shown))
    return found


def _texts(tokens: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows of each text: prompt and caption of a language, in order of position."""
    spoken = tokens.filter(pl.col("segment") != "image").sort("position")
    return spoken.partition_by("language", "segment", maintain_order=True)


def _shaded(text: pl.DataFrame, values: Mapping[int, float], strongest: float) -> Strip:
    pairs = text.select("index", "token").rows()
    shown = [{"token": token, "value": values.get(index, 0.0)} for index, token in pairs]
    return strip(shown, text["language"][0], strongest)
