"""One layer's probes: every label and place, read off everything, by every number of features."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from core.analysis.probes.cells import Asked, Cell, Opened
from core.errors import BadInput
from core.features.readings import FROZEN_READ, RANDOM_READ, READ, SAE_READ, STREAM_READ
from core.stats.probing import ProbeResult, linear_probe, sparse_probes
from core.stats.scored import Excess, Scored, excess

LINEAR = "logistic"
PROBES = pl.Schema(
    {
        **dict.fromkeys(("label", "language", "position_set"), pl.String),
        "decision": pl.Boolean,
        "layer": pl.UInt16,
        **dict.fromkeys(("read", "method"), pl.String),
        "features": pl.UInt32,
        **dict.fromkeys(("auroc", "low", "high", "p", "auroc_select"), pl.Float64),
        **dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high", "majority"), pl.Float64),
        **dict.fromkeys(("shuffled", "shuffled_low", "shuffled_high", "control"), pl.Float64),
        **dict.fromkeys(("classes", "draws", "train_images", "test_images"), pl.UInt32),
    }
)
"""One row a probe; `features` is null for the probe of all dimensions."""
EXCESS = pl.Schema(
    {
        **dict.fromkeys(("label", "language", "position_set"), pl.String),
        "decision": pl.Boolean,
        "layer": pl.UInt16,
        "features": pl.UInt32,
        "against": pl.String,
        **dict.fromkeys(("auroc", "other", "excess", "low", "high"), pl.Float64),
        **dict.fromkeys(("null", "null_low", "null_high", "p"), pl.Float64),
        **dict.fromkeys(("draws", "test_images"), pl.UInt32),
    }
)
"""One row a comparison of the SAE's sparse probe with that of another reading on the same images."""


@dataclass(frozen=True)
class Drawing:
    """How many draws there are, of which words' labels at random (the control task), and their seed."""

    draws: int
    controls: int
    seed: int


@dataclass(frozen=True)
class Reading:
    """A probe of a cell: what it reads, how, and what it found; `scored` are its test rows."""

    cell: Cell
    read: str
    features: int | None
    result: ProbeResult
    select: float
    scored: Scored

    def row(self, layer: int, decision: bool, draws: int) -> dict[str, Any]:
        """The row of `PROBES`."""
        null = self.result.shuffled
        return {
            **self.cell._asdict(),
            "decision": decision,
            "layer": layer,
            "read": self.read,
            "features": self.features,
            **self.result.row(),
            "auroc_select": self.select,
            "shuffled_low": null.low,
            "shuffled_high": null.high,
            "classes": len(self.result.classes),
            "draws": draws,
        }


def read_cell(opened: Opened, cells: Sequence[Cell], ks: Sequence[int], drawing: Drawing) -> Iterator[Reading]:
    """The probes of cells of one language and position set; none of a cell whose label has fewer than two classes of
    five images in train and test."""
    rows = opened.readings.rows(cells[0].language, cells[0].position_set)
    for cell in cells:
        asked = opened.asked(cell, rows)
        for read in READ:
            if read in rows.x:
                yield from _read(cell, read, asked, rows.x[read], (tuple(ks), drawing))


def _read(
    cell: Cell, read: str, asked: Asked, x: np.ndarray, how: tuple[tuple[int, ...], Drawing]
) -> Iterator[Reading]:
    ks, drawing = how
    task = asked.task(x)
    chance = (drawing.seed, drawing.draws, drawing.controls)
    found: dict[int | None, ProbeResult] = {}
    try:
        if read != RANDOM_READ:  # all of them together span the stream, or a random part of it
            found[None] = linear_probe(task, *chance)
        sparse = sparse_probes(task, [k for k in ks if k <= x.shape[1]], *chance)
        for k, one in sparse.items():
            found[k] = one
    except BadInput:
        return
    for features, result in found.items():
        select, test = (result.scored(*asked.of(split, x)) for split in ("select", "test"))
        yield Reading(cell, read, features, result, select.area if len(select.units) else math.nan, test)


def comparisons(readings: Sequence[Reading], ks: Sequence[int], drawing: Drawing) -> Iterator[tuple[int, str, Excess]]:
    """The SAE's sparse probe beside that of every other reading, with as many features; the stream's reads all of its
    dimensions."""
    known = {(one.read, one.features): one.scored for one in readings}
    for k in ks:
        for other in (FROZEN_READ, RANDOM_READ, STREAM_READ):
            own, its = known.get((SAE_READ, k)), known.get((other, None if other == STREAM_READ else k))
            if own is not None and its is not None:
                yield k, other, excess(own, its, drawing.draws, drawing.seed)
