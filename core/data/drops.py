"""What was left out of the samples, row by row, what that leaves, and when it is too much."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from core.errors import BadInput

DROPPED = {"row": pl.UInt32, "sample_id": pl.String, "field": pl.String, "reason": pl.String}
"""Columns of `dropped.parquet`; rows are counted from 1, without the header."""
_SHOWN = 5
_ROUNDING = 1e-9


class Drop(NamedTuple):
    """One row that is no sample, and why."""

    row: int
    sample_id: str | None
    field: str
    reason: str

    @property
    def message(self) -> str:
        """The row and what is wrong with it."""
        return f"row {self.row} ({self.field}: {self.reason})"


def row_counts(summary: Mapping[str, Any], left_out: int = 0) -> dict[str, int]:
    """What became of the rows of the source, which the others add up to; `left_out` samples later than by `prepare`."""
    samples, dropped = int(summary["samples"]), int(summary.get("dropped", 0))
    rows = int(summary.get("rows", samples + dropped))
    counts = {"rows": rows, "samples": samples - left_out, "left out": dropped + left_out}
    not_drawn = rows - samples - dropped
    return {**counts, "not drawn": not_drawn} if not_drawn else counts


def dropped_share(*stages: tuple[int, int]) -> float:
    """The share of rows dropped over stages, each of so many rows `(dropped, of)`."""
    return 1 - math.prod(1 - dropped / max(of, 1) for dropped, of in stages)


def is_too_much(share: float, most: float) -> bool:
    """Whether a larger share is dropped than allowed; a share that equals the limit is not, though floats differ."""
    return share > most + _ROUNDING


def refuse_many(drops: Sequence[Drop], share: float, most: float, table: str) -> None:
    """Refuse a table of which more than `most` is dropped.

    Raises:
        BadInput: naming the first rows and the reasons with their counts.
    """
    if not is_too_much(share, most):
        return
    rows = sorted(drops)
    shown = "; ".join(drop.message for drop in rows[:_SHOWN])
    more = f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    fields = ", ".join(f"{field} {count}" for field, count in sorted(Counter(drop.field for drop in rows).items()))
    raise BadInput(
        f"{table}: {len(rows)} rows dropped ({share:.1%} of it; by field: {fields}), more than "
        f"data.max_dropped_fraction = {most:g} allows: {shown}{more}; correct the rows or raise the limit"
    )
