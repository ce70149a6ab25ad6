"""Rows of samples that are no captions: an image's patches, or whatever a model of one's own takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.activations.rows import FILES, TOKENS, Kept, Key, Layout
from core.study.model import Pool

ITEM = "item"
"""The segment of what is neither image nor text."""


@dataclass(frozen=True)
class Items:
    """The rows of one sample: each one's place in what the sample's pass gives, its name, and whether it enters no
    statistic."""

    sample_id: str
    image_id: str
    places: Sequence[int]
    names: Sequence[str]
    special: Sequence[bool]


def lay_out_items(samples: Sequence[Items], segment: str, pool: Pool) -> Layout:
    """Number the rows of a shard, all in `shared`, in the order of the samples.

    Pooling makes one row per sample, special rows left out of it.
    """
    kept: dict[Key, Kept] = {}
    records: list[dict[str, Any]] = []
    for number, sample in enumerate(samples):
        together = _together(sample, pool)
        places = [(sample.places[index], row) for row, own in enumerate(together, len(records)) for index in own]
        kept[number, None] = Kept("shared", tuple(place for place, _ in places), tuple(row for _, row in places))
        for row, own in enumerate(together, len(records)):
            name = sample.names[own[-1]] if pool == "none" else f"[{segment}]"
            records.append(
                {
                    "group": "shared",
                    "row": row,
                    "sample_id": sample.sample_id,
                    "image_id": sample.image_id,
                    "language": None,
                    "segment": segment,
                    "position": sample.places[own[-1]],
                    "token_id": None,
                    "token": name,
                    "char_start": None,
                    "char_end": None,
                    "special": sample.special[own[-1]],
                }
            )
    counts = {file: len(records) if file == "shared" else 0 for file in FILES}
    return Layout(pl.DataFrame(records, schema=TOKENS, orient="row"), kept, counts)


def _together(sample: Items, pool: Pool) -> list[list[int]]:
    """Which of the sample's items make each row."""
    if pool == "none":
        return [[index] for index in range(len(sample.places))]
    usual = [index for index, special in enumerate(sample.special) if not special]
    if not usual:
        return []
    return [usual[-1:] if pool == "last" else usual]
