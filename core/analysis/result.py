"""What every analysis gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    `headlines` are one-sentence findings, each with its control and interval; `metrics` are flat numbers for MLflow;
    `tables` are written as Parquet; `shown` names the tables the report prints, with their headings; `notes` say what
    was left out and why.
    """

    headlines: tuple[str, ...]
    metrics: Mapping[str, float]
    tables: Mapping[str, pl.DataFrame]
    shown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
